# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The calibration file of a chain whose windows a search has laid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmcascade.calibration.fit.calibrate import calibration_of
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.fit.thresholds.fitted_windows import FittedWindows
from mmcascade.calibration.stores import AnyStore
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.comparison.build.request import CALIBRATION, BuildRequest
from mmcascade.routing.policies.policies import Window
from mmcascade.visualization.calibration_plot import plot_calibration
from mmcascade.visualization.style import save


def calibrated_with(
    windows: Sequence[Window], store: AnyStore, cascade: CascadeIdentity, request: BuildRequest
) -> Calibration:
    """Fit what is asked for beside the windows (temperatures, accept threshold, promise); file and picture are written.

    Args:
        windows: one per gap.
        store: of the chain on the calibration part.
        cascade: the chain.
        request: what is asked for.
    """
    evidence = Evidence.of(store, cascade, request.calibration)
    made = calibration_of(FittedWindows(list(windows), []), evidence, request.calibration)
    calibration = replace(made, rule='search', half_width=0.0)
    calibration.save(request.out / CALIBRATION)
    save(plot_calibration(evidence, calibration), (request.out / CALIBRATION).with_suffix('.png'))
    return calibration
