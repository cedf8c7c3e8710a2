# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members, ensemble and cascade on labelled units, in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmcascade._system.tables import Table
from mmcascade.apis.member_outputs import MemberOutputs
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.replay.stored_stages import StoredScores
from mmcascade.calibration.worth.systems import systems_of
from mmcascade.evaluation.standings.measure import ACCURACY, measure_for
from mmcascade.evaluation.standings.standings import Standings, System
from mmcascade.evaluation.standings.table import standings_table
from mmcascade.evaluation.standings.verdict import verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Evaluation:
    """Members, ensemble and cascade on labelled units.

    Attributes:
        standings: their figures, with paired 95 % intervals.
        members: names, in the order of the cascade.
        systems: what each of them says of every unit.
        risk: that the calibration was asked for; None if it was asked for something else.
    """

    standings: Standings
    members: list[str]
    systems: Sequence[System]
    risk: float | None = None

    def table(self) -> Table:
        """One row per system; ``.show()`` prints it, ``.as_markdown()`` is for pages."""
        return standings_table(self.standings, self.members[-1])

    def verdict(self) -> str:
        """Whether the cascade pays."""
        return verdict(self.standings, self.members)

    def plot(self) -> Figure:
        """Errors among the accepted by share accepted, with bands of 95 % of the draws, and quality against cost.

        Returns:
            The figure, which a notebook shows and ``figure.savefig`` writes.
        """
        from mmcascade.visualization.standings_plot import plot_costs, plot_curves
        from mmcascade.visualization.style import BESIDE, figure_of

        figure, (left, right) = figure_of(columns=2, size=BESIDE)
        plot_curves(self.systems, risk=self.risk, ax=left)
        plot_costs(self.standings, ax=right)
        return figure

    @classmethod
    def of(cls, members: list[str], given: MemberOutputs, calibration: Calibration) -> Evaluation:
        """Replay what members gave, alone, all together, and with the windows of a calibration.

        Args:
            members: names, in the order of the cascade.
            given: by the members for labelled units.
            calibration: of the cascade.
        """
        labels = given.labels
        cached = given.cached(calibration.temperatures)
        cascade = calibration.cascade
        source = StoredScores(cached, np.asarray(labels, np.int64), cascade.scoring, cascade.fusion)
        wanted = Target.parse(calibration.target)
        measure = measure_for(wanted.kind, wanted.value) if wanted.is_decision else ACCURACY
        systems = systems_of(source, calibration)
        risk = wanted.value if wanted.kind == 'risk' else None
        return cls(Standings(systems, measure), members, systems, risk)
