# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a Python user holds in hand."""

from mmcascade._system.extras import require
from mmcascade._system.quiet import quiet_libraries

require('mmengine', 'mmcascade.apis')
quiet_libraries()
