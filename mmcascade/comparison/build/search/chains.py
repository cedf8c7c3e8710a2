# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The chains of a search on images that it did not see: the one that was taken, and those that lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade._system.tables import with_interval
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.grid.chain_search import Setting
from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.replay.routes import Routes
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.worth.systems import areas_of
from mmcascade.comparison.build.search.choice import Choice
from mmcascade.comparison.build.search.plans import plan_for
from mmcascade.evaluation.standings.areas import AreaStandings, AreaSystem
from mmcascade.evaluation.standings.cost_unit import CostUnit
from mmcascade.evaluation.standings.measure import measure_for
from mmcascade.evaluation.standings.standings import Standings, System

#: So many of those that lost are shown.
SHOWN = 12


def chain_name(chain: Chain, names: Sequence[str]) -> str:
    """A chain in words, first stage to last."""
    return ' > '.join(names[stage] for stage in chain)


def chain_standings(
    candidates: Candidates, choice: Choice, request: CalibrationRequest, names: Sequence[str], unit: CostUnit
) -> Standings:
    """The chosen chain, the nearest others and the best single stage, with their windows, on the same images.

    Args:
        candidates: the stages on these images.
        choice: what was found on others.
        request: what is compared by.
        names: of the stages.
        unit: of the candidates' costs.
    """
    wanted, pixels = request.wanted, candidates.units.label is not None
    plan = plan_for(wanted, pixels)

    def routed(setting: Setting) -> tuple[str, Routes, NDArray[np.float64]]:
        routes = candidates.source.route(setting.chain, plan.policy_of(setting.windows))
        return chain_name(setting.chain, names), routes, candidates.costs.of(setting.chain, routes.exit_stage)

    settings = {setting.chain: setting for setting in (choice.setting, *choice.others[:SHOWN], choice.alone)}.values()
    found = [routed(setting) for setting in settings]
    if pixels:
        areas = [AreaSystem(name, *areas_of(routes), cost) for name, routes, cost in found]
        return AreaStandings(areas, unit=unit)
    systems = [System(name, routes.confidence.astype(np.float64), routes.wrong, cost) for name, routes, cost in found]
    return Standings(systems, measure_for(wanted.kind, wanted.value), unit=unit)


def chains_json(standings: Standings, choice: Choice, candidates: Candidates, names: Sequence[str]) -> dict[str, Any]:
    """What ``results.json`` holds of a search.

    Args:
        standings: of :func:`chain_standings`.
        choice: what was found.
        candidates: the stages.
        names: of the stages.
    """
    chosen = chain_name(choice.setting.chain, names)
    reasons = ['chosen', *choice.lost]
    settings = [choice.setting, *choice.others]
    rows = []
    known = set(standings.names)
    for setting, reason in zip(settings, reasons, strict=True):
        if chain_name(setting.chain, names) not in known:
            continue
        standing = standings[chain_name(setting.chain, names)]
        difference = None if standing.name == chosen else asdict(standings.difference(standing.name, chosen))
        row = {
            'chain': [names[stage] for stage in setting.chain],
            'windows': setting.windows,
            'why': reason,
            **standing.to_json(),
            'difference': difference,
        }
        rows.append(row)
    return {
        'stages': dict(zip(names, candidates.mean_costs().tolist(), strict=True)),
        'cost': standings.unit.name,
        'chosen': chosen,
        'why': choice.why,
        'images': choice.images,
        'chains_tried': choice.tried,
        'measure': standings.measure.name,
        'chains': rows,
    }


def search_verdict(standings: Standings, chosen: str, alone: str, members: Sequence[str]) -> str:
    """Whether the chosen chain pays beside the best single stage.

    Differences are in points, with paired 95 % intervals; one that holds 0 decides nothing.

    Args:
        standings: of both on images that the search did not see.
        chosen: name of the chain that was taken.
        alone: name of the stage.
        members: names of all stages; a chain that is one of them is no cascade.
    """
    if chosen == alone:
        return f'No cascade pays: use {chosen} alone.'
    ratio = standings[chosen].cost / standings[alone].cost
    gain = standings.difference(chosen, alone)
    points = with_interval(gain.estimate, gain.low, gain.high, '+.1f', 100)
    what = f'costs {ratio:.2f}x of {alone}, the best member alone, {standings.measure.name} {points}'
    if chosen in members:
        return f'No cascade pays: use {chosen} alone; it {what}.'
    if round(ratio, 2) < 1:
        finding = 'It is cheaper and reaches less' if gain.high < 0 else 'It pays'
    elif gain.low > 0:
        finding = 'It costs more and reaches more'
    else:
        finding = 'It does not pay' if gain.high < 0 else 'It cannot be told whether it pays'
    return f'{finding}: {chosen} {what}.'
