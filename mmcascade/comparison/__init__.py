# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Systems beside each other: members, ensembles, cascades and other exit policies, on any config."""

from mmcascade._system.extras import require

require('mmengine', 'mmcascade.comparison')
