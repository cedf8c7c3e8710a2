# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The search of a build: every member on every view is stored once, and the chain that pays is taken out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.config import Config

from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.search.candidates import Candidates, stage_name
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.comparison.build.config import PlacedMember, counted_macs
from mmcascade.comparison.build.material import Material
from mmcascade.comparison.build.request import COSTS, SEARCH, BuildRequest, written
from mmcascade.comparison.build.search.calibrated import calibrated_with
from mmcascade.comparison.build.search.chains import chain_name, chain_standings, chains_json, search_verdict
from mmcascade.comparison.build.search.choice import Choice, choose
from mmcascade.comparison.build.times import Effort, measured_times
from mmcascade.engine.console.configs import CONFIG
from mmcascade.engine.console.progress import Say, progress_bar
from mmcascade.engine.runs.filling.stage_copier import StageCopier
from mmcascade.engine.runs.prepare_store import of_kind, prepare_store, store_job
from mmcascade.evaluation.standings.cost_unit import unit_for


@dataclass(frozen=True)
class Searched:
    """What a search found.

    Attributes:
        placed: every stage that was tried.
        names: of these, in words.
        choice: what is taken of them.
        calibration_part, report_part: what all of them say of the two parts of the images.
        candidates: of the report part, at the same temperatures and costs as those that were searched.
        times: of all that were tried in milliseconds, where those are the costs.
        request: what was asked for.
    """

    placed: Sequence[PlacedMember]
    names: Sequence[str]
    choice: Choice
    calibration_part: ScoreStore
    report_part: ScoreStore
    candidates: Candidates
    times: list[float] | None
    request: BuildRequest

    @property
    def stages(self) -> list[PlacedMember]:
        """Those of the chosen chain."""
        return [self.placed[stage] for stage in self.choice.setting.chain]

    @property
    def chosen_times(self) -> list[float] | None:
        """Of the stages of the chosen chain."""
        return None if self.times is None else [self.times[stage] for stage in self.choice.setting.chain]

    def calibrated(self, config: Config, request: BuildRequest) -> tuple[Calibration, ScoreStore]:
        """The calibration of the chosen chain, and its stages on the report part; both are written.

        Args:
            config: of the chain.
            request: what is asked for.
        """
        chain = self.choice.setting.chain
        job = store_job(config, request.out / 'calibration_scores')
        store, identity = StageCopier(job, self.calibration_part, chain).fill(), job.model.identity()
        calibration = calibrated_with(self.choice.setting.windows, store, identity, request)
        job = store_job(config, request.out / 'report_scores', 'test_dataloader')
        return calibration, StageCopier(job, self.report_part, chain).fill()

    def to_json(self) -> dict[str, Any]:
        """What ``results.json`` holds of it."""
        unit = unit_for(self.times)
        standings = chain_standings(self.candidates, self.choice, self.request.calibration, self.names, unit)
        chosen, alone = (chain_name(each.chain, self.names) for each in (self.choice.setting, self.choice.alone))
        found = chains_json(standings, self.choice, self.candidates, self.names)
        return {**found, 'verdict': search_verdict(standings, chosen, alone, self.names)}


def searched(material: Material, request: BuildRequest, say: Say) -> Searched:
    """Store what every member says on every view that it takes, and choose on the calibration part.

    Args:
        material: the members and the images.
        request: what is asked for.
        say: prints one line of progress.
    """
    folder = request.out / SEARCH
    placed = _that_run(material, request)
    config = written(material.config(placed, request.loading), folder / CONFIG)
    names = [_name(stage, found.view, material) for stage, found in zip(placed, config.model.stages, strict=True)]
    say(f'{folder / CONFIG}: {len(placed)} stages to choose from: {", ".join(names)}')
    times = (
        measured_times(config, names, request.out / COSTS, Effort(batch_size=request.loading.batch_size), say)
        if request.timed
        else None
    )
    stores = []
    for part, split in (('calibration', 'val_dataloader'), ('report', 'test_dataloader')):
        with progress_bar(f'running them on the {part} part') as progress:
            filled = prepare_store(config, folder / f'{part}_scores', split, progress=progress)
            stores.append(of_kind(ScoreStore, filled))
    (calibration_part, identity), (report_part, _) = stores
    evidence = Evidence.of_scores(calibration_part, identity, request.calibration)
    judged_on, reported = (
        _candidates(store, times, identity).heated(evidence.temperatures) for store in (calibration_part, report_part)
    )
    everything = np.arange(calibration_part.units)
    groups = everything if evidence.held is None else np.setdiff1d(everything, evidence.held)
    with progress_bar('searching chains') as progress:
        choice = choose(judged_on, groups, request.calibration.wanted, progress=progress)
    return Searched(placed, names, choice, calibration_part, report_part, reported, times, request)


def _name(stage: PlacedMember, view: int, material: Material) -> str:
    """Its member, with the number of the view where that is another member's."""
    name = stage.member.name
    return name if stage.view.same(material.views[name]) else f'{name}@{view}'


def _that_run(material: Material, request: BuildRequest) -> list[PlacedMember]:
    """Every member on every view, but for views of others that its network does not take; cheap first."""
    placed = material.everywhere()
    others = {k for k, stage in enumerate(placed) if not stage.view.same(material.views[stage.member.name])}
    macs = counted_macs(material.config(placed, request.loading), material.members, others)
    costs = [(cost, stage) for cost, stage in zip(macs, placed, strict=True) if cost is not None]
    return [stage for _, stage in sorted(costs, key=lambda entry: entry[0])]


def _candidates(store: ScoreStore, times: Sequence[float] | None, cascade: CascadeIdentity) -> Candidates:
    names = [stage_name(stage) for stage in cascade.stages]
    costs = None if times is None else dict(zip(names, times, strict=True))
    return Candidates.from_stores([store], costs, cascade.confidence, cascade.fusion)
