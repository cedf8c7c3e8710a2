# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a cascade is calibrated on: its exits over stored units, each computed once for all that is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcascade.calibration.fit.certificates.certificate import MIN_UNITS
from mmcascade.calibration.fit.certificates.held_out import hold_out_at_random
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.scores.temperatures import TemperatureTrial, fit_temperature, try_temperature
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.replay.quality import Accuracy, ClassIoU, MeanIoU, Quality, class_number
from mmcascade.calibration.replay.stored_stages import StoredCells, StoredScores
from mmcascade.calibration.replay.units import Exit, Units
from mmcascade.calibration.stores import AnyStore
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.routing import CachedStage


@dataclass(frozen=True)
class Evidence:
    """A cascade on its calibration units.

    Attributes:
        cascade: the cascade.
        temperatures: one per stage.
        exits: after each stage.
        units: the units.
        data: their number and fingerprint.
        held: units that nothing is fitted on but an accept threshold with a guarantee; None = there are none.
        trials: how the temperatures were found, one per stage; None where they were given or asked for.
        classes: of segmented images, their names, or how many there are; None of classified ones.
    """

    cascade: CascadeIdentity
    temperatures: list[float]
    exits: list[Exit]
    units: Units
    data: dict[str, Any] = field(default_factory=dict)
    held: NDArray[np.int64] | None = None
    trials: list[TemperatureTrial] | None = None
    classes: Sequence[str] | int | None = None

    @classmethod
    def of(cls, store: AnyStore, cascade: CascadeIdentity, request: CalibrationRequest) -> Evidence:
        """A filled store of a cascade's stages, in order.

        Raises:
            ValueError: if the request, or the cascade, does not fit the store.
        """
        if isinstance(store, CellStore):
            request.check_segmentor()
            evidence = cls.of_cells(store, cascade)
            if request.certify is None:
                return evidence
            return replace(evidence, held=hold_out_at_random(store.images, request.certify_share, request.seed)[1])
        request.check_classifier()
        return cls.of_scores(store, cascade, request)

    @classmethod
    def of_stages(
        cls,
        stages: Sequence[CachedStage],
        labels: NDArray[np.int64],
        cascade: CascadeIdentity,
        data: dict[str, Any] | None = None,
    ) -> Evidence:
        """A cascade of all these stages, in order.

        Args:
            labels: int64 ``(N)``, the true classes; -1 = out of distribution.
        """
        source = StoredScores(stages, labels, cascade.scoring, cascade.fusion)
        exits = source.along(tuple(range(len(stages))))
        return cls(cascade, [stage.temperature for stage in stages], exits, source.units, data or {})

    @classmethod
    def of_scores(cls, store: ScoreStore, cascade: CascadeIdentity, request: CalibrationRequest) -> Evidence:
        """A filled store of a cascade's stages, in order, with the temperatures that are asked for.

        Raises:
            ValueError: if nothing has a label, a stage never ran, or too few units are there for a guarantee.
        """
        stages, labels = store.stages(), np.asarray(store.labels)
        if not (labels >= 0).any():
            raise ValueError('no calibration unit has a label, so nothing can be fitted')
        for index, stage in enumerate(stages):
            _check_ran(stage, index)
        units, held = np.arange(len(labels)), None
        if request.certify is not None:
            units, held = hold_out_at_random(len(labels), request.certify_share, request.seed)
            if len(held) < MIN_UNITS:
                raise ValueError(
                    f'a guarantee needs at least {MIN_UNITS} calibration units of its own, and a share of '
                    f'{request.certify_share} of {len(labels)} is {len(held)}; calibrate on more units'
                )
        known, trials = units[labels[units] >= 0], None
        if request.temperatures == 'fit':
            stages = store.stages([fit_temperature(stage, labels, known) for stage in stages])
        elif request.temperatures == 'auto' and len(known):
            trials = [try_temperature(stage, labels, known) for stage in stages]
            stages = store.stages([trial.temperature for trial in trials])
        evidence = cls.of_stages(stages, labels, cascade, store.header.identity.data.summary())
        return replace(evidence, held=held, trials=trials)

    @classmethod
    def of_cells(cls, store: CellStore, cascade: CascadeIdentity) -> Evidence:
        """A complete store of cells.

        Raises:
            ValueError: if the store belongs to another cascade.
        """
        header = store.header
        here = {'stages': len(cascade.stages), 'fusion': cascade.fusion, 'confidence': cascade.confidence}
        there = {'stages': store.stages, 'fusion': header.fusion, 'confidence': header.confidence}
        if here != there:
            raise ValueError(
                f'the store {store.folder} was filled by another cascade: it has {there}, and this one {here}'
            )
        source = StoredCells(store)
        exits = source.along(tuple(range(store.stages)))
        data, classes = header.identity.data.summary(), header.classes
        return cls(cascade, list(header.temperatures), exits, source.units, data, classes=classes)

    def only(self, groups: ArrayLike) -> Evidence:
        """Some of the images."""
        rows = self.units.rows(groups)
        exits = [exit_.select(rows) for exit_ in self.exits]
        return replace(self, exits=exits, units=self.units.of_groups(groups), held=None)

    def quality(self, target: Target) -> Quality:
        """What a target of the routing judges cascades by.

        Raises:
            ValueError: if it names a class that there is not, or of which no pixel is labelled.
        """
        if self.units.label is None or self.classes is None:
            return Accuracy()
        if target.class_name is None:
            return MeanIoU()
        index = class_number(target.class_name, self.classes)
        name = str(index) if isinstance(self.classes, int) else self.classes[index]
        if not self.units.labelled[index]:
            raise ValueError(
                f'{target} cannot be reached: no calibration image has a pixel of {name!r}; calibrate on images that do'
            )
        return ClassIoU(index, name)

    @cached_property
    def fitted_on(self) -> Evidence:
        """What is fitted on: all but what is held out."""
        return self if self.held is None else self.only(np.setdiff1d(np.arange(self.units.groups), self.held))

    @cached_property
    def judged_on(self) -> Evidence:
        """What the finished cascade is judged on: what is held out, or else everything."""
        return self if self.held is None else self.only(self.held)

    @cached_property
    def known(self) -> Evidence:
        """The units with a class."""
        ood = self.units.ood
        return self if ood is None or not ood.any() else self.only(np.flatnonzero(~ood))


def _check_ran(stage: CachedStage, index: int) -> None:
    """Raise ValueError if a stage gave no finite output on any unit."""
    if not any(row.isfinite().all() for row in stage.values):
        raise ValueError(
            f'stage {index} gave no finite output on any calibration unit; did its member run, with sound weights?'
        )
