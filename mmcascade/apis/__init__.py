# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a Python user holds in hand."""

from mmcascade._system.extras import require

require('mmengine', 'mmcascade.apis')
