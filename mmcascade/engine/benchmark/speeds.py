# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From seconds to what a benchmark reports."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from mmcascade.engine.benchmark.timing import Spread, spread


def limit(per_run: Sequence[float], runs: Sequence[float]) -> float:
    """Seconds that the members take by themselves for one image: the sum of runs per image times seconds per run."""
    return sum(number * seconds for number, seconds in zip(runs, per_run, strict=True))


def weighted(counts: Sequence[int], per_run: Sequence[Sequence[float]]) -> list[float]:
    """Seconds per run of a member in each round, over several kinds of inputs.

    Args:
        counts: how many inputs there are of each kind.
        per_run: for each kind, the seconds per run in each round.
    """
    return [
        sum(count * seconds for count, seconds in zip(counts, turn, strict=True)) / sum(counts)
        for turn in zip(*per_run, strict=True)
    ]


@dataclass(frozen=True)
class Rounds:
    """Seconds of everything in every round, of which a system's speed and limit are made.

    Attributes:
        images: how many are run in a round.
        per_run: for each member, its seconds per run.
    """

    images: int
    per_run: Sequence[Sequence[float]]

    def per_second(self, seconds: Sequence[float]) -> Spread:
        """Images per second of something that took so long in each round."""
        return spread([self.images / taken for taken in seconds])

    def share_of_limit(self, seconds: Sequence[float], runs: Sequence[float]) -> Spread:
        """What the members take by themselves, as a share of what a system took in the same round.

        Args:
            seconds: of the system, in each round.
            runs: how often it runs each member for an image.
        """
        least = [self.images * limit(turn, runs) for turn in zip(*self.per_run, strict=True)]
        return spread([members / taken for members, taken in zip(least, seconds, strict=True)])

    def limit(self, runs: Sequence[float]) -> float:
        """Seconds that the members take by themselves for one image, by the median of the rounds."""
        return limit([statistics.median(taken) for taken in self.per_run], runs)
