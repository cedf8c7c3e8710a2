# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Ready-to-run configs of cascades that a search found."""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmcascade._system.files import write_text
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.grid.plan import Plan
from mmcascade.calibration.search.results.report import Point, Reporter
from mmcascade.calibration.stores import AnyStore
from mmcascade.calibration.stores.store import StoreError
from mmcascade.models.parts.config_file import without_templates


def stored_config(stores: Sequence[AnyStore]) -> dict[str, Any] | None:
    """The config of all stages of some stores, or None if one of them keeps none.

    Everything but members and stages is taken from the first. The config is read as a literal, nothing in it is run.

    Raises:
        StoreError: if a config is not that of its store, or stores give one name to different members.
    """
    if not all(store.header.config for store in stores):
        return None
    first, *others = (_read_config(store) for store in stores)
    for other in others:
        for name, member in other['model']['members'].items():
            if first['model']['members'].setdefault(name, member) != member:
                raise StoreError(f'two of the stores have a member {name!r}, and it is not the same; rename one')
        before = len(first['model']['stages'])
        for stage in other['model']['stages']:
            if stage.get('continues') is not None:
                stage['continues'] += before
        first['model']['stages'] += other['model']['stages']
    return first


def _read_config(store: AnyStore) -> dict[str, Any]:
    """The config in a store, which may be a stranger's."""
    try:
        config = ast.literal_eval(store.header.config or '')
        named = [stage['member'] for stage in config['model']['stages']]
        members = config['model']['members']
        fits = named == [stage.member for stage in store.header.identity.stages] and all(
            isinstance(members[name], dict) for name in named
        )
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise StoreError(f'the config in the store {store.folder} cannot be read: {error}') from None
    if not fits:
        raise StoreError(f'the config in the store {store.folder} is not that of its stages {named}')
    return config


def without_permissions(config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A config without what lets code run that its reader did not ask for, and what was left out, in words.

    A store may come from somebody else; whoever runs the config is to decide anew.
    """
    config, left_out = copy.deepcopy(config), []
    for key in ('_base_', 'custom_imports'):
        if config.pop(key, None) is not None:
            left_out.append(key)
    for name, member in config['model']['members'].items():
        if member.pop('unsafe_checkpoint', False):
            left_out.append(f'unsafe_checkpoint of member {name!r}')
    return config, left_out


def chain_config(whole: dict[str, Any], point: Point) -> Config:
    """The config of a searched cascade, which reads ``calibration.json`` from its own folder.

    Args:
        whole: config of all stages, in the order of the search's candidates.
        point: the cascade.
    """
    config = copy.deepcopy(whole)
    model = config['model']
    model['stages'] = chain_stages(model['stages'], point.chain)
    used = {stage['member'] for stage in model['stages']}
    model['members'] = {name: member for name, member in model['members'].items() if name in used}
    for key in ('policy', 'accept', 'accept_cells'):
        model.pop(key, None)
    model['calibration'] = '{{ fileDirname }}/calibration.json'
    return Config(config)


def chain_stages(stages: Sequence[dict[str, Any]], chain: Sequence[int]) -> list[dict[str, Any]]:
    """The stages of a chain as a config has them: exits of one network go on from the last one that the chain runs.

    Args:
        stages: all stages, as in their config.
        chain: some of them, in order.
    """
    roots: list[int] = []
    for index, stage in enumerate(stages):
        before = stage.get('continues')
        roots.append(index if before is None else roots[before])
    found: list[dict[str, Any]] = []
    for position, index in enumerate(chain):
        left_out = ('temperature', 'continues', 'waits_with')
        stage = {key: value for key, value in stages[index].items() if key not in left_out}
        last = next((k for k in reversed(range(position)) if roots[chain[k]] == roots[index]), None)
        if last is not None and 'exit' in stage and found[last]['exit'] < stage['exit']:
            stage['continues'] = last
            if 'waits_with' in stages[index]:
                stage['waits_with'] = stages[index]['waits_with']
        found.append(stage)
    return found


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
    config, left_out = without_permissions(candidates.configured(whole))
    lines = [f'# {candidates.describe(point.chain)}, found by tools/search.py for {plan.quality}.']
    if left_out:
        lines.append(
            f'# Left out, since they run code: {", ".join(left_out)}. Take them from your own config if you trust them.'
        )
    text = without_templates('\n'.join([*lines, chain_config(config, point).pretty_text]))
    write_text(folder / 'config.py', text)
