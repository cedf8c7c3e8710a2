# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The file in which a cascade's windows and thresholds are kept."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mmcascade._system.files import read_json, write_text
from mmcascade.calibration.fit.result.calibration_checks import (
    FIT_ON,
    RULES,
    TEMPERATURES,
    as_list,
    check_guarantee,
    check_scores,
    check_trial,
)
from mmcascade.calibration.fit.result.guarantee import Guarantee
from mmcascade.calibration.fit.scores.temperatures import TemperatureTrial
from mmcascade.calibration.stores.data_identity import text
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.routing.checks import fraction, is_finite, is_whole, whole
from mmcascade.routing.confidences.score_maps import ScoreMap
from mmcascade.routing.policies.adjusted_window_policy import AdjustedWindowPolicy
from mmcascade.routing.policies.cell_budget_policy import window_policy
from mmcascade.routing.policies.policies import Window, WindowPolicy

SCHEMA = 1


class CalibrationError(ValueError):
    """A calibration that cannot be used here."""


@dataclass(frozen=True)
class Calibration:
    """What calibration found for one cascade on one data set.

    Attributes:
        cascade: the cascade it belongs to.
        windows: one window per gap, on the raw running score; None closes a gap, an end that is None is open.
        accept: accept a prediction if its judged score is at least this; None = no acceptance.
        temperatures: one per stage; divides the logits.
        target: what was asked for, such as 'risk=0.05'.
        rule: 'safe' or 'paper', how tau was placed; 'search' where a search laid the windows.
        half_width: share of units in the window on each side of tau; 0 where there is no tau.
        tau: per gap, the score the window was placed around; empty for one-sided windows.
        data: number of units ('units') and fingerprint ('fingerprint') of the calibration data.
        measured: what the finished cascade reaches on the calibration data, as fractions; 'macs' in multiply-adds. With
            a guarantee these are the units it was tested on.
        fit_on: 'reached' or 'all', which units count in a gap.
        accept_target: what the accept threshold was to reach; None where there is none.
        maps: per stage, the map from the raw score at that exit to the judged score; None = no maps.
        guarantee: the certified risk; None where none was asked for.
        adapt: how many scores the cascade remembers to re-centre the window of gap 0 on what it meets; None = it
            keeps the window.
        max_cells: how many cells of an image may go on after stage 0; None = any number. Only segmentation cascades
            have it, and only their files hold it.
        trials: per stage, how its temperature was found; None where temperatures were not left to the evidence.
        accept_cells: of a segmentation cascade, accept the labels of a cell if its score is at least this; ``accept``
            then is the threshold of whole images. None = no acceptance of cells.

    Example:
        >>> from mmcascade.calibration.stores.identity import CascadeIdentity, StageIdentity
        >>> stages = tuple(StageIdentity(name, view=0, weights=name) for name in ('small', 'large'))
        >>> calibration = Calibration(
        ...     CascadeIdentity(stages, 'max_prob', 'prob'), windows=[(0.4, 0.6)], accept=0.5,
        ...     temperatures=[1.0, 1.0], target='risk=0.05', rule='safe', half_width=0.1, tau=[0.5],
        ...     data=dict(units=1000, fingerprint='f'))
        >>> Calibration.load(calibration.to_json()).policy().rules
        [(0.4, 0.6)]
    """

    cascade: CascadeIdentity
    windows: list[Window | None]
    accept: float | None
    temperatures: list[float]
    target: str
    rule: str = 'safe'
    half_width: float = 0.0
    tau: list[float] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    fit_on: str = 'reached'
    accept_target: str | None = None
    maps: list[ScoreMap] | None = None
    guarantee: Guarantee | None = None
    adapt: int | None = None
    max_cells: int | None = None
    trials: list[TemperatureTrial] | None = None
    accept_cells: float | None = None

    def policy(self) -> WindowPolicy:
        """The exit policy that it describes.

        Raises:
            ValueError: if it describes two, or one that makes no sense.
        """
        if self.adapt is None:
            return window_policy(self.windows, self.max_cells)
        if self.max_cells is not None:
            raise ValueError(
                f'max_cells={self.max_cells} belongs to cells and adapt={self.adapt} to whole images; '
                'a calibration has one of them'
            )
        tau = self.tau[0] if self.tau else math.nan
        return AdjustedWindowPolicy(self.windows, tau, min(1.0, 2 * self.half_width), self.adapt)

    @property
    def accepts_from(self) -> float | None:
        """The lowest judged score that is accepted; infinite where no threshold could be certified as was asked."""
        uncertified = self.guarantee is not None and self.guarantee.threshold is None
        return math.inf if uncertified else self.accept

    def save(self, path: str | Path) -> None:
        """Write the file in one piece: a reader sees the old one or the new one."""
        write_text(path, _readable(self.to_json()) + '\n')

    def to_json(self) -> dict[str, Any]:
        """What calibration.json holds."""
        maps = None if self.maps is None else [entry.to_json() for entry in self.maps]
        plain = replace(self, maps=None, cascade=replace(self.cascade, detector=None))  # asdict would copy these
        data = {
            'schema': SCHEMA,
            **asdict(plain),
            'cascade': self.cascade.to_json(),
            'measured': _without_nan(self.measured),
            'maps': maps,
            'guarantee': None if self.guarantee is None else self.guarantee.to_json(),
        }
        for name in ('max_cells', 'trials', 'accept_cells'):
            if getattr(self, name) is None:
                del data[name]
        return data

    @classmethod
    def load(cls, source: str | Path | Mapping[str, Any]) -> Calibration:
        """Read a file, or the same content inlined in a config.

        Raises:
            CalibrationError: if it is missing, unreadable, of a newer schema or incomplete.
        """
        name = f'calibration {str(source)!r}' if isinstance(source, (str, Path)) else 'the calibration in the config'
        data = source if isinstance(source, Mapping) else _read(Path(source), name)
        schema = data.get('schema')
        if is_whole(schema, SCHEMA + 1):
            raise CalibrationError(
                f'{name} has schema {schema}, and this version of mmcascade reads up to {SCHEMA}; '
                'update mmcascade or calibrate again'
            )
        try:
            if type(schema) is not int or schema != SCHEMA:
                raise KeyError('schema')
            missing = [name for name in ('rule', 'half_width', 'tau', 'data') if name not in data]
            if missing:
                raise KeyError(missing[0])
            fields: dict[str, Any] = {key: value for key, value in data.items() if key != 'schema'}
            fields['cascade'] = CascadeIdentity.from_json(data['cascade'])
            fields['windows'] = WindowPolicy(data['windows']).rules
            if fields.get('maps') is not None:
                fields['maps'] = [ScoreMap.from_json(entry) for entry in fields['maps']]
            if fields.get('guarantee') is not None:
                fields['guarantee'] = Guarantee(**fields['guarantee'])
            if fields.get('trials') is not None:
                fields['trials'] = [TemperatureTrial(**entry) for entry in fields['trials']]
            loaded = cls(**fields)
            _check(loaded)
            return loaded
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CalibrationError(
                f'{name} is no calibration file of mmcascade ({type(error).__name__}: {error}); '
                'make one with tools/calibrate.py'
            ) from error

    def without_weights(self) -> Calibration:
        """The same, for a cascade whose weights are not known yet."""
        stages = tuple(replace(stage, weights='') for stage in self.cascade.stages)
        return replace(self, cascade=replace(self.cascade, stages=stages))

    def check(self, here: CascadeIdentity) -> None:
        """Raise CalibrationError unless this calibration belongs to the cascade at hand."""
        differences = self.cascade.differences(here)
        if differences:
            raise CalibrationError(
                'the calibration belongs to another cascade: '
                + '; '.join(differences)
                + '. Calibrate this one with tools/calibrate.py'
            )


def _check(calibration: Calibration) -> None:
    """Raise ValueError or TypeError, naming the entry, if a calibration makes no sense."""
    stages = len(calibration.cascade.stages)
    if not stages:
        raise ValueError('a cascade has at least one stage')
    for name, wanted in (('windows', stages - 1), ('temperatures', stages), ('maps', stages), ('trials', stages)):
        entries = getattr(calibration, name)
        if entries is not None and len(as_list(entries, name)) != wanted:
            raise ValueError(f'{stages} stages need {wanted} {name}, got {len(entries)}')
    for temperature in calibration.temperatures:
        if not is_finite(temperature) or not TEMPERATURES[0] <= temperature <= TEMPERATURES[1]:
            raise ValueError(f'a temperature lies within {TEMPERATURES}, got {temperature!r}')
    for trial, temperature in zip(calibration.trials or (), calibration.temperatures, strict=False):
        check_trial(trial, temperature)
    _check_request(calibration)
    accepts = [calibration.accept, calibration.accept_cells]
    check_scores(
        calibration.cascade,
        calibration.windows,
        calibration.tau,
        [accept for accept in accepts if accept is not None],
        mapped=calibration.maps is not None,
    )
    if calibration.guarantee is not None:
        check_guarantee(calibration.guarantee)
        if calibration.guarantee.threshold != calibration.accept:
            raise ValueError(
                f'the guarantee is one for the threshold {calibration.guarantee.threshold!r}, and accept is '
                f'{calibration.accept!r}: it does not hold for that'
            )
    calibration.policy()  # refuses windows, memories and budgets that make no sense


def _check_request(calibration: Calibration) -> None:
    text(calibration.target, 'target')
    if calibration.accept_target is not None:
        text(calibration.accept_target, 'accept_target')
    for name, known in (('rule', RULES), ('fit_on', FIT_ON)):
        if getattr(calibration, name) not in known:
            raise ValueError(f'{name} is one of {known}, got {getattr(calibration, name)!r}')
    fraction(calibration.half_width, 'half_width')
    if calibration.adapt is not None:
        whole(calibration.adapt, 'adapt', least=1)
    for name in ('data', 'measured'):
        if not isinstance(getattr(calibration, name), Mapping):
            raise ValueError(f'{name} is an object, got {getattr(calibration, name)!r}')
    if 'units' in calibration.data:
        whole(calibration.data['units'], 'units of the data', least=0)


def _read(path: Path, name: str) -> Mapping[str, Any]:
    try:
        data = read_json(path)
    except FileNotFoundError:
        raise CalibrationError(
            f'{name} does not exist; make it with mmcascade calibrate, or go on with mmcascade build'
        ) from None
    except OSError as error:
        raise CalibrationError(f'{name} cannot be read: {error.strerror or error}') from error
    except ValueError as error:
        raise CalibrationError(f'calibration {error}') from error
    if not isinstance(data, dict):
        raise CalibrationError(f'{name} holds a {type(data).__name__}, expected an object')
    return data


def _readable(data: Mapping[str, Any]) -> str:
    """Indented, with lists of numbers on one line."""
    numbers = r'\[[\s\d.,eE+-]*\]'
    return re.sub(
        numbers, lambda found: '[' + ' '.join(found[0][1:-1].split()) + ']', json.dumps(data, indent=2, allow_nan=False)
    )


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
