# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Ready-to-run configs of cascades that a search found."""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmcascade.calibration.fit.calibration_file import Calibration
from mmcascade.calibration.search.plan import Plan
from mmcascade.calibration.search.results.report import Point, Reporter
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.calibration.stores.store import StoreError


def stored_config(stores: Sequence[ScoreStore | CellStore]) -> dict[str, Any] | None:
    """The config of all stages of some stores, or None if one of them keeps none.

    Everything but members and stages is taken from the first. The config is read as a literal, nothing in it is run.

    Raises:
        StoreError: if stores give one name to different members.
    """
    texts = [store.header.config or '' for store in stores]
    if not all(texts):
        return None
    first, *others = (ast.literal_eval(text) for text in texts)
    for other in others:
        for name, member in other['model']['members'].items():
            if first['model']['members'].setdefault(name, member) != member:
                raise StoreError(f'two of the stores have a member {name!r}, and it is not the same; rename one')
        first['model']['stages'] += other['model']['stages']
    return first


def chain_config(whole: dict[str, Any], point: Point) -> Config:
    """The config of a searched cascade, which reads ``calibration.json`` from its own folder.

    Args:
        whole: config of all stages, in the order of the search's candidates.
        point: the cascade.
    """
    config = copy.deepcopy(whole)
    model = config['model']
    model['stages'] = [
        {key: value for key, value in model['stages'][stage].items() if key != 'temperature'} for stage in point.chain
    ]
    used = {stage['member'] for stage in model['stages']}
    model['members'] = {name: member for name, member in model['members'].items() if name in used}
    for key in ('policy', 'accept'):
        model.pop(key, None)
    model['calibration'] = '{{ fileDirname }}/calibration.json'
    return Config(config)


def chain_calibration(point: Point, plan: Plan, reporter: Reporter) -> Calibration:
    """The calibration file of a searched cascade; its figures are those of the images the search did not see."""
    candidates = reporter.candidates
    return Calibration(
        cascade=candidates.identity(point.chain),
        windows=list(point.windows),
        accept=point.accept,
        temperatures=[candidates.temperatures[stage] for stage in point.chain],
        target=str(plan.quality),
        rule='search',
        data=dict(candidates.data),
        measured=reporter.measured(point),
        accept_target=plan.quality.accept_target,
        max_cells=plan.max_cells if len(point.chain) > 1 else None,
    )


def write_chain(folder: Path, whole: dict[str, Any], point: Point, plan: Plan, reporter: Reporter) -> None:
    """Write ``config.py`` and ``calibration.json`` of a searched cascade."""
    folder.mkdir(parents=True)
    candidates = reporter.candidates
    chain_calibration(point, plan, reporter).save(folder / 'calibration.json')
    (folder / 'config.py').write_text(
        f'# {candidates.describe(point.chain)}, found by tools/search.py for {plan.quality}.\n'
        + chain_config(candidates.configured(whole), point).pretty_text
    )
