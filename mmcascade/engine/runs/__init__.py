# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the tools run: calibrate, fill a store, search, fit a detector."""

from mmcascade._system.extras import require

require('mmengine', 'mmcascade.engine')
