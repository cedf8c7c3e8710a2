# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Accept thresholds of a segmentation cascade, for images and for cells."""

from __future__ import annotations

from dataclasses import replace

from mmcascade.calibration.fit.cells.map_guarantee import map_guarantee
from mmcascade.calibration.fit.cells.selective import judged_cells, judged_images
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.replay.routes import Routes


def accepting_maps(
    plain: Calibration,
    evidence: Evidence,
    seen: Routes,
    routes: Routes,
    request: CalibrationRequest,
) -> Calibration:
    """The calibration with what the request wants to be accepted; the same if that is nothing.

    Images and cells have thresholds of their own, each for the same target. With a guarantee that of images is
    certified on those held out, and that of cells is fitted on the others.

    Args:
        plain: windows and figures; it accepts nothing yet.
        evidence: what to fit on.
        seen: what becomes of what is fitted on.
        routes: what becomes of what is judged on; the same where nothing is held out.
        request: what is asked for.

    Raises:
        ValueError: if no threshold of images or cells meets the target.
    """
    target = request.accepting
    if target is None:
        return plain
    images, cells = judged_images(routes), judged_cells(routes)
    of_images, promise = None, None
    problems = []
    if request.certify is not None:
        share, seed = request.certify_share, request.seed
        promise = map_guarantee(judged_images(seen), images, target.value, request.certify, share=share, seed=seed)
        of_images = promise.threshold
    else:
        try:
            of_images = images.threshold_for(target)
        except ValueError as error:
            problems.append(f'of images, {error}')
    try:
        fitted_on = cells if seen is routes else judged_cells(seen)
        of_cells = fitted_on.threshold_for(target)
    except ValueError as error:
        problems.append(f'of cells, {error}')
        of_cells = None
        if of_images is None and promise is None:
            raise ValueError('; '.join(problems)) from None
    figures: dict[str, float] = {}
    for name, found, threshold in (('', images, of_images), ('cell_', cells, of_cells)):
        if threshold is not None:
            figures[f'{name}coverage'], figures[f'{name}risk'] = found.point(threshold)
    return replace(
        plain,
        accept=of_images,
        accept_cells=of_cells,
        guarantee=promise,
        measured=plain.measured | figures,
    )
