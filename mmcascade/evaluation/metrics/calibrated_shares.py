# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Shares of a test beside those that the calibration saw, and what chance allows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcascade._system.files import read_json
from mmcascade.routing.checks import fraction, number, whole

if TYPE_CHECKING:
    from mmcascade.runtime.drift import Drift, Expected


class CalibratedShares:
    """Compares exits and acceptance with a calibration, as :class:`~mmcascade.runtime.DriftMonitor` does in service.

    Args:
        path: of the calibration file, of a cascade of classifiers.
        level: probability that a share stays inside of its interval if nothing has changed.

    Raises:
        ValueError, OSError: if the file cannot be read, or does not say what its images did.
    """

    def __init__(self, path: str | Path, level: float) -> None:
        if not 0 < number(level, 'drift_level') < 1:
            raise ValueError(f'drift_level is a probability between 0 and 1, got {level!r}')
        self.level = level
        self.expected = _expected(path)

    def drifts(self, exit_stage: Sequence[int], accepted: Sequence[bool] | None = None) -> list[Drift]:
        """One entry per stage but the first, and one for acceptance where both have a threshold."""
        from mmcascade.runtime.drift import DriftMonitor  # whose package reads images

        monitor = DriftMonitor(self.expected, window=max(len(exit_stage), 1), level=self.level)
        monitor.update(exit_stage, accepted)
        return monitor.report()


def _expected(path: str | Path) -> Expected:
    from mmcascade.runtime.drift import Expected

    data: Any = read_json(Path(path))
    measured = data.get('measured') if isinstance(data, dict) else None
    if not isinstance(measured, dict) or not {'units', 'reached'} <= measured.keys():
        raise ValueError(
            f'{path} does not say what its calibration images did, with units and reached in measured; name the '
            'calibration file of a cascade of classifiers'
        )
    reached = tuple(fraction(share, 'reached of a calibration') for share in measured['reached'][1:])
    coverage = measured.get('coverage')
    return Expected(
        whole(measured['units'], 'units of a calibration', least=1),
        reached,
        None if coverage is None else fraction(coverage, 'coverage of a calibration'),
    )


def drift_keys(drifts: Sequence[Drift], names: dict[str, str]) -> dict[str, float]:
    """Shares in percent: ``<key>`` as at calibration, its ``/low`` and ``/high``; ``drifted``, how many lie outside.

    Args:
        drifts: the shares to print.
        names: from their names to the keys.
    """
    values: dict[str, float] = {}
    for drift in drifts:
        key = names[drift.name]
        values |= {key: 100 * drift.expected, f'{key}/low': 100 * drift.low, f'{key}/high': 100 * drift.high}
    return values | {'drifted': sum(drift.drifted for drift in drifts)}
