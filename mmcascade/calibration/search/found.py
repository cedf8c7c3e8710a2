# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a search found, and how much it looked at."""

from __future__ import annotations

from dataclasses import dataclass

from mmcascade.calibration.grid.chain_search import Setting
from mmcascade.calibration.replay.costs import Chain


@dataclass
class Covered:
    """How much of the space was evaluated, for the chains of one length.

    Attributes:
        stages: length of the chains.
        chains, of_chains: searched, and all there are within the worst-case limit and beyond.
        settings, of_settings: evaluated, and all there are on the finest cuts of the searched chains, extrapolated to
            the chains left out.
    """

    stages: int
    chains: int
    of_chains: int
    settings: int = 0
    of_settings: float = 0.0

    @property
    def share(self) -> float:
        """The part of all settings that was evaluated, in [0, 1]."""
        return min(1.0, self.settings / self.of_settings) if self.of_settings else 1.0


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        front: by rising cost.
        ensembles: every chain with all windows open, within the limits or not; single stages among them.
        covered: how much of the space was evaluated, per length of chains.
        chains: of each chain its own front, by rising cost and within the limits on means; chains without any are not
            there.
    """

    front: list[Setting]
    ensembles: list[Setting]
    covered: list[Covered]
    chains: dict[Chain, list[Setting]]
