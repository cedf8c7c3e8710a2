# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A calibration in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmcascade._system.tables import with_prefix
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.fit.result.guarantee import Guarantee
from mmcascade.calibration.fit.scores.temperatures import TemperatureTrial
from mmcascade.routing.policies.policies import Window


def summary_lines(calibration: Calibration) -> list[str]:
    """What was decided and what it reaches, one statement a line."""
    lines = [f'gap {gap}: {_window(window)}' for gap, window in enumerate(calibration.windows)]
    if calibration.trials is not None:
        members = [stage.member for stage in calibration.cascade.stages]
        lines += [_temperature(name, trial) for name, trial in zip(members, calibration.trials, strict=True)]
    elif any(t != 1 for t in calibration.temperatures):
        lines.append('temperatures: ' + ', '.join(f'{t:.4g}' for t in calibration.temperatures))
    if calibration.accept is not None:
        score = 'confidence' if calibration.maps is None else 'mapped confidence'
        what = 'accept' if 'miou' not in calibration.measured else 'accept an image'
        lines.append(f'{what} at {score} >= {calibration.accept:.6g}, for {calibration.accept_target}')
    if calibration.accept_cells is not None:
        lines.append(f'accept a cell at confidence >= {calibration.accept_cells:.6g}, for {calibration.accept_target}')
    return [*lines, *figures(calibration)]


def sentences(calibration: Calibration) -> list[str]:
    """What was asked for and what was reached, for people who have the cascade and not its calibration."""
    if not calibration.measured:  # which somebody wrote by hand
        return []
    targets = dict.fromkeys([calibration.target, calibration.accept_target])
    asked = ', and to accept for '.join(target for target in targets if target is not None)
    return [f'{line[:1].upper()}{line[1:]}.' for line in (f'calibrated for {asked}', *figures(calibration))]


def figures(calibration: Calibration) -> list[str]:
    """What it reaches on the calibration data, and what it promises, one statement a line."""
    measured, lines = calibration.measured, []
    reached = _percent(*measured['reached'])
    if 'miou' in measured:
        lines += _cells(calibration, reached)
    else:
        lines.append(
            f'on {measured["units"]} calibration units: accuracy {_percent(measured["accuracy"])}, '
            f'{with_prefix(measured["macs"])} multiply-adds per unit, reached {reached}'
        )
    if 'miou' in measured:
        lines += _accepted(calibration)
    elif 'coverage' in measured and not math.isnan(measured['risk']):
        lines.append(
            f'accepted {_percent(measured["coverage"])} of them, of which {_percent(measured["risk"])} are wrong'
        )
    if calibration.guarantee is not None:
        lines.append(_promise(calibration.guarantee))
    return lines


def _accepted(calibration: Calibration) -> list[str]:
    """What is accepted of a segmentation cascade, and what is not for want of a threshold."""
    measured, target = calibration.measured, calibration.accept_target
    if target is None:
        return []
    lines = []
    if not math.isnan(measured.get('risk', math.nan)):
        lines.append(
            f'accepted {_percent(measured["coverage"])} of the images, with {_percent(measured["risk"])} of the pixels '
            'of an image wrong on average'
        )
    elif calibration.guarantee is None:
        lines.append(f'accepted no image: no threshold of images keeps {target}')
    if not math.isnan(measured.get('cell_risk', math.nan)):
        lines.append(
            f'accepted cells with {_percent(measured["cell_coverage"])} of the labelled pixels, of which '
            f'{_percent(measured["cell_risk"])} are wrong'
        )
    else:
        lines.append(f'accepted no cell: no threshold of cells keeps {target}')
    return lines


def _cells(calibration: Calibration, reached: str) -> list[str]:
    """A segmentation cascade."""
    measured, lines = calibration.measured, []
    if calibration.max_cells is not None:
        lines.append(f'at most {calibration.max_cells} cells of an image go on, the least confident ones')
    shares = _percent(*measured['deferred']) if measured['deferred'] else ''
    classes = ''.join(f'{name} {_percent(value)}, ' for name, value in measured.items() if name.startswith('iou['))
    return [
        *lines,
        f'on {measured["images"]} calibration images: mIoU {_percent(measured["miou"])}, {classes}'
        f'{with_prefix(measured["macs"])} multiply-adds per image (at most {with_prefix(measured["worst_case"])}), '
        f'reached {reached} of the area',
        f'of {measured["cells"]} cells, the share that goes on in each gap: {shares or "there is none"}',
        *_joined(measured),
    ]


def _joined(measured: Mapping[str, Any]) -> list[str]:
    """What a cascade that joins cells really does, beside what it was fitted as."""
    if 'joined' not in measured:
        return []
    found = measured['joined']
    classes = ''.join(f'{name} {_percent(value)}, ' for name, value in found.items() if name.startswith('iou['))
    return [
        'all that was fitted on crops of single cells; with joined cells the cascade has on these images: mIoU '
        f'{_percent(found["miou"])}, {classes}{with_prefix(found["macs"])} multiply-adds per image, reached '
        f'{_percent(*found["reached"])} of the area'
    ]


def _percent(*fractions: float) -> str:
    return ', '.join(f'{100 * fraction:.2f}' for fraction in fractions) + ' %'


def _temperature(member: str, trial: TemperatureTrial) -> str:
    if trial.gain is None:
        return f'temperature of {member}: 1' + (f', {trial.reason}' if trial.reason else '')
    gain = f'gains {trial.gain:+.4f} nats of likelihood per unit on held-out halves (standard error {trial.error:.4f})'
    if trial.temperature == 1:
        return f'temperature of {member}: 1; {trial.fitted:.4g} {gain}, which is within its noise'
    return f'temperature of {member}: {trial.fitted:.4g}, which {gain}'


def _window(window: Window | None) -> str:
    if window is None:
        return 'closed, nobody goes on'
    low, high = window
    if low is None and high is None:
        return 'everybody goes on'
    return (
        ('' if low is None else f'{low:.6g} <= ')
        + 'confidence'
        + ('' if high is None else f' <= {high:.6g}')
        + ' goes on'
    )


def _promise(promise: Guarantee) -> str:
    risk = f'{100 * promise.risk:g} %'
    if promise.threshold is None:
        return (
            f'infeasible: on {promise.units} held-out units no threshold certifies a risk of {risk} at '
            f'delta {promise.delta:g}, so nothing is accepted; the lowest risk that they would have certified is '
            f'{100 * promise.lowest_risk:.4g} %, which can be promised on other images only'
        )
    assert promise.bound is not None
    counted = f'{promise.errors} errors among {promise.accepted} accepted'
    if promise.stake is not None:
        counted = (
            f'a mean loss of {100 * promise.errors / promise.accepted:.4g} % over {promise.accepted} accepted images'
        )
    return (
        f'certified: the risk on unseen units of this kind is at most {risk}, except with probability '
        f'{promise.delta:g} over the draw of the {promise.units} held-out units ({counted}, '
        f'upper bound {100 * promise.bound:.4g} %)'
    )
