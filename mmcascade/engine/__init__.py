# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What stands between a command line and a Runner."""

from mmcascade._system.extras import require

require('mmengine', 'mmcascade.engine')
