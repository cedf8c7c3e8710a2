# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Put accept thresholds into a calibration: of images and, where these are segmented, of cells."""

from __future__ import annotations

from dataclasses import replace

from mmcascade.calibration.fit.accepting.images import JudgedImages
from mmcascade.calibration.fit.accepting.judged import Judged
from mmcascade.calibration.fit.accepting.maps import judged_cells, judged_images
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.replay.routes import Routes

#: What has accept thresholds, as messages name it.
_IMAGES, _CELLS = 'images', 'cells'


def accepting(plain: Calibration, seen: Routes, routes: Routes, request: CalibrationRequest) -> Calibration:
    """The calibration with what the request wants to be accepted; the same if that is nothing.

    Images and cells have thresholds of their own, each for the same target. With a guarantee that of images is
    certified on those held out, and that of cells is fitted on the others.

    Args:
        plain: windows and figures; it accepts nothing yet.
        seen: what becomes of what is fitted on.
        routes: what becomes of what is judged on; the same where nothing is held out.
        request: what is asked for.

    Raises:
        ValueError: if no threshold of images or cells meets the target.
    """
    target = request.accepting
    if target is None:
        return plain
    fitted_on = _judged(seen)
    judged = fitted_on if seen is routes else _judged(routes)
    promise, found, problems = None, dict[str, float | None](), []
    for kind, units in fitted_on.items():
        if kind == _IMAGES and request.certify is not None:
            share, seed = request.certify_share, request.seed
            promise = units.guarantee(judged[kind], target.value, request.certify, share=share, seed=seed)
            found[kind] = promise.threshold
        else:
            try:
                found[kind] = units.threshold_for(target)
            except ValueError as error:
                problems.append(str(error) if len(fitted_on) == 1 else f'of {kind}, {error}')
    if not found:
        raise ValueError('; '.join(problems))
    figures = dict(plain.measured)
    for kind, threshold in found.items():
        if threshold is not None:
            prefix = '' if kind == _IMAGES else 'cell_'
            figures[f'{prefix}coverage'], figures[f'{prefix}risk'] = judged[kind].point(threshold)
    return replace(
        plain, accept=found.get(_IMAGES), accept_cells=found.get(_CELLS), guarantee=promise, measured=figures
    )


def _judged(routes: Routes) -> dict[str, Judged]:
    """What of a data set has accept thresholds."""
    if routes.units.label is None:
        return {_IMAGES: JudgedImages.of(routes)}
    return {_IMAGES: judged_images(routes), _CELLS: judged_cells(routes)}
