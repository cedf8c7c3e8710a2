# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The quickstart: its steps, and nothing that another config would need."""

from mmcascade._system.extras import require

require('mmengine', 'mmcascade.demo')
