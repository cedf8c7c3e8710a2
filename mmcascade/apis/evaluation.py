# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members, ensemble and cascade on labelled units, in Python."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmcascade._system.tables import Table
from mmcascade.apis.member_outputs import MemberOutputs
from mmcascade.calibration.fit.operating_point import Target
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.replay.sources import ScoreSource
from mmcascade.calibration.worth.systems import systems_of
from mmcascade.evaluation.standings.measure import ACCURACY, measure_for
from mmcascade.evaluation.standings.standings import Standings
from mmcascade.evaluation.standings.table import standings_table
from mmcascade.evaluation.standings.verdict import verdict
from mmcascade.routing import CachedStage


@dataclass(frozen=True)
class Evaluation:
    """Members, ensemble and cascade on labelled units.

    Attributes:
        standings: their figures, with paired 95 % intervals.
        members: names, in the order of the cascade.
    """

    standings: Standings
    members: list[str]

    def table(self) -> Table:
        """One row per system; ``.show()`` prints it, ``.as_markdown()`` is for pages."""
        return standings_table(self.standings, self.members[-1])

    def verdict(self) -> str:
        """Whether the cascade pays."""
        return verdict(self.standings, self.members)

    @classmethod
    def of(cls, members: list[str], given: MemberOutputs, calibration: Calibration) -> Evaluation:
        """Replay what members gave, alone, all together, and with the windows of a calibration.

        Args:
            members: names, in the order of the cascade.
            given: by the members for labelled units.
            calibration: of the cascade.
        """
        labels = given.labels
        cached = [
            CachedStage(output.values, macs=output.macs, temperature=temperature)
            for output, temperature in zip(given.outputs, calibration.temperatures, strict=True)
        ]

        cascade = calibration.cascade
        source = ScoreSource(cached, np.asarray(labels, np.int64), cascade.scoring, cascade.fusion)
        wanted = Target.parse(calibration.target)
        measure = measure_for(wanted.kind, wanted.value) if wanted.is_decision else ACCURACY
        return cls(Standings(systems_of(source, calibration), measure), members)
