# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What searches are compared with."""

from __future__ import annotations

import numpy as np

from mmcascade.calibration.replay.quality import Accuracy
from mmcascade.calibration.replay.replay import replay
from mmcascade.routing import WindowPolicy

ACCURACY = Accuracy()


def everybody(candidates):
    return np.arange(len(candidates.source.labels))


def replayed(candidates, setting, units):
    stages = [candidates.source.stages[k] for k in setting.chain]
    result = replay(stages, WindowPolicy(list(setting.windows)), units)
    return result, result.label != candidates.source.labels[units]
