# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What flags, views and searches do to a config."""

from mmcascade._system.extras import require

require('mmengine', 'mmcascade.engine')
