# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Systems beside each other, on any config: members, ensembles, cascades and other exit policies.

``classification``, ``ood``, ``exits`` and ``segmentation`` each hold the systems, their comparison, its table and its
pictures. Members run once and their outputs are stored; what a system's table says is measured by a test of its own
config. Nothing here knows of the quickstart, which is ``mmcascade.demo`` and imports from here.
"""

from mmcascade._system.extras import require

require('mmengine', 'mmcascade.comparison')
