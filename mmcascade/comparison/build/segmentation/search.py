# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The search of a build of segmentors: which of the later members pay, in which order, with which thresholds."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.config import Config

from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.comparison.build.request import SEARCH, BuildRequest, written
from mmcascade.comparison.build.search.calibrated import calibrated_with
from mmcascade.comparison.build.search.chains import chain_standings, chains_json
from mmcascade.comparison.build.search.choice import Choice, choose
from mmcascade.comparison.build.segmentation.times import SegTimes
from mmcascade.engine.console.configs import CONFIG
from mmcascade.engine.console.progress import Say, progress_bar
from mmcascade.engine.runs.prepare_store import of_kind, prepare_store
from mmcascade.evaluation.standings.cost_unit import MILLISECONDS, MULTIPLY_ADDS


@dataclass(frozen=True)
class SegSearched:
    """What a search found.

    Attributes:
        members: names of all, cheap first.
        choice: what is taken of them.
        report_part: the cells of all members on the report part.
        times: of the members, where those are the costs.
        request: what was asked for.
    """

    members: Sequence[str]
    choice: Choice
    report_part: CellStore
    times: SegTimes | None
    request: BuildRequest

    @property
    def chosen(self) -> list[str]:
        """Names of the members of the chosen chain, in order."""
        return [self.members[stage] for stage in self.choice.setting.chain]

    def calibrated(self, config: Config) -> Calibration:
        """The calibration of the chosen chain, which is written; other subsets of members mean other cells.

        Args:
            config: of the chain.
        """
        folder, known = self.request.out / 'calibration_cells', self.request.out / SEARCH / 'calibration_cells'
        if self.chosen == list(self.members) and not folder.exists():
            shutil.copytree(known, folder)
        with progress_bar('running the chosen chain') as progress:
            store, identity = prepare_store(config, folder, progress=progress)
        return calibrated_with(self.choice.setting.windows, store, identity, self.request)

    def to_json(self) -> dict[str, Any]:
        """What ``results.json`` holds of it."""
        candidates = _candidates(self.report_part, self.members, self.times)
        unit = MULTIPLY_ADDS if self.times is None else MILLISECONDS
        standings = chain_standings(candidates, self.choice, self.request.calibration, self.members, unit)
        return chains_json(standings, self.choice, candidates, self.members)


def searched_segmentors(config: Config, request: BuildRequest, times: SegTimes | None, say: Say) -> SegSearched:
    """Store the cells of all members, and choose on the calibration part.

    The first member is the cheapest: it labels whole images, and only later ones are chosen.

    Args:
        config: of the cascade of all members, cheap first.
        request: what is asked for.
        times: of the members, where those are the costs.
        say: prints one line of progress.
    """
    folder = request.out / SEARCH
    members = [stage.member for stage in config.model.stages]
    say(f'{folder / CONFIG}: {members[0]} on whole images, then to choose from: {", ".join(members[1:])}')
    whole, stores = written(config, folder / CONFIG), []
    for part, split in (('calibration', 'val_dataloader'), ('report', 'test_dataloader')):
        with progress_bar(f'running them on the {part} part') as progress:
            filled = prepare_store(whole, folder / f'{part}_cells', split, progress=progress)
            stores.append(of_kind(CellStore, filled)[0])
    calibration_part, report_part = stores
    candidates = _candidates(calibration_part, members, times)
    with progress_bar('searching chains') as progress:
        choice = choose(candidates, np.arange(calibration_part.images), request.calibration.wanted, progress=progress)
    return SegSearched(members, choice, report_part, times, request)


def _candidates(store: CellStore, members: Sequence[str], times: SegTimes | None) -> Candidates:
    costs = None if times is None else dict(zip(store.header.stages, times.of_stages(members), strict=True))
    return Candidates.from_stores([store], costs)
