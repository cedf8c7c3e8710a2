# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One member on several views: alone on each, on all of them, and as cascades that stop when the decision is clear."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner

from mmcascade._system.files import write_json
from mmcascade._system.machine import machine
from mmcascade._system.tables import Column, Table, with_interval
from mmcascade.calibration.fit.one_sided.shares import fit_shares
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.replay.replay import Replay, replay
from mmcascade.calibration.replay.stored_stages import StoredScores
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.engine.console.progress import Say
from mmcascade.engine.runs.prepare_store import build_without_calibration, of_kind, prepare_store
from mmcascade.evaluation.curves import aurc, coverage_at_risk
from mmcascade.evaluation.curves.intervals.bootstrap import bootstrap
from mmcascade.models.stages.views.batch_views import as_views
from mmcascade.routing import CachedStage, CascadeRouter, WindowPolicy
from mmcascade.routing.policies.policies import Window

SCHEMA = 1
BUDGET = 0.6  # of the multiply-adds of all views

COLUMNS = (
    Column('system', left=True),
    Column('top-1 %', '.2f'),
    Column('coverage at 5 % risk', '.2f'),
    Column('MMACs', '.2f', factor=1e3),
    Column('share of all views', '.2f'),
    Column('gain kept %'),
    Column('images / s', '.0f'),
    Column('reached %'),
)


@dataclass(frozen=True)
class ViewCascade:
    """Views of one member in order, and the windows between them.

    Attributes:
        stages: their positions among all stages of the config.
        windows: one per gap.
    """

    stages: tuple[int, ...]
    windows: tuple[Window | None, ...]

    def replay(self, stages: Sequence[CachedStage], units: int) -> Replay:
        """Replay a cascade of stored stages."""
        return replay([stages[k] for k in self.stages], WindowPolicy(self.windows), units)


def view_systems(stages: Sequence[CachedStage], labels: np.ndarray, names: Sequence[str]) -> dict[str, ViewCascade]:
    """Everything that is compared, fitted on the calibration split.

    Args:
        stages: one per view, in the order in which a test-time-augmentation cascade adds them; the first one is how the
            member is used without it.
        labels: int64 ``(N)``.
        names: of the views.

    Returns:
        Each view alone; 'all views'; 'same accuracy', the cascade over all views that loses nothing of theirs on the
        calibration split at the least multiply-adds; 'within 60 % of the MACs', the most accurate one within them; and
        'self-cascade', the pair of views that is most accurate at no more multiply-adds than the first view costs if
        there is one, and else within twice that.
    """
    n, count = len(labels), len(stages)
    everything = tuple(range(count))
    systems = {name: ViewCascade((k,), ()) for k, name in enumerate(names)}
    systems['all views'] = full = ViewCascade(everything, ((None, None),) * (count - 1))
    target = full.replay(stages, n)
    accuracy, macs = _accuracy(target, labels), float(target.macs.mean())

    def fitted(chain: tuple[int, ...], goal: Target) -> ViewCascade:
        source = StoredScores([stages[k] for k in chain], labels)
        exits = source.along(tuple(range(len(chain))))
        return ViewCascade(chain, tuple(fit_shares(exits, source.units, goal).windows))

    systems['same accuracy'] = fitted(everything, Target('accuracy', accuracy))
    systems[f'within {BUDGET:.0%} of the MACs'] = fitted(everything, Target('macs', BUDGET * macs))
    systems['self-cascade'] = _best_pair(stages, labels, fitted)
    return systems


def _best_pair(
    stages: Sequence[CachedStage], labels: np.ndarray, fitted: Callable[[tuple[int, ...], Target], ViewCascade]
) -> ViewCascade:
    cost = [float(_alone(stage, len(labels)).macs.mean()) for stage in stages]
    pairs = [(a, b) for a, b in itertools.permutations(range(len(stages)), 2) if cost[a] <= cost[b]]
    budget = cost[0] if min(cost) < cost[0] else 2 * cost[0]
    candidates = [fitted((a, b), Target('macs', budget)) for a, b in pairs if cost[a] <= budget]
    return max(candidates, key=lambda system: _accuracy(system.replay(stages, len(labels)), labels))


def _alone(stage: CachedStage, units: int) -> Replay:
    return replay([stage], WindowPolicy([]), units)


def view_metrics(
    systems: Mapping[str, ViewCascade], stages: Sequence[CachedStage], labels: np.ndarray
) -> dict[str, dict[str, Any]]:
    """Per system what it reaches on a split: percent, multiply-adds in G, and the share of images per number of views.

    'kept' is the share of the accuracy that all views add to the first one, with its paired 95 % interval.
    """
    n = len(labels)
    replays = {name: system.replay(stages, n) for name, system in systems.items()}
    right = {name: result.label == labels for name, result in replays.items()}
    first, full = next(iter(right.values())), right['all views']
    rows = {}
    for name, result in replays.items():
        row: dict[str, Any] = {
            'accuracy/top1': 100 * float(right[name].mean()),
            'selective/coverage@risk5': 100 * coverage_at_risk(result.confidence, ~right[name], 0.05),
            'selective/aurc': 100 * aurc(result.confidence, ~right[name]),
            'cost/macs': float(result.macs.mean()) / 1e9,
            'reached': [100 * share for share in result.reached(len(systems[name].stages))],
        }
        if len(systems[name].stages) > 1 and name != 'all views':
            row['kept'] = _kept(right[name], first, full)
        rows[name] = row
    return rows


def _kept(right: np.ndarray, first: np.ndarray, full: np.ndarray) -> dict[str, float] | None:
    """Share of the gain, in percent; None where all views gain nothing."""

    def share(units: np.ndarray) -> float:
        gain = float(full[units].mean()) - float(first[units].mean())
        return 100 * (float(right[units].mean()) - float(first[units].mean())) / gain if gain > 0 else np.nan

    if not full.mean() > first.mean():
        return None
    return asdict(bootstrap(share, len(right), repeats=500))


def run_self_cascade(cfg: Config, work_dir: Path, say: Say = print, *, timed_images: int = 2000) -> dict[str, Any]:
    """Fit on ``val_dataloader``, measure on ``test_dataloader``, and time the real members.

    Args:
        cfg: config of a cascade whose stages are one member's views.
        work_dir: gets ``self_cascade.json`` and the stored scores.
        say: prints one line of progress.
        timed_images: each system is timed on so many test images.

    Returns:
        What ``self_cascade.json`` holds.
    """
    calibration, names = _scores(cfg, work_dir / 'calibration_scores', 'val_dataloader', say)
    test, _ = _scores(cfg, work_dir / 'test_scores', 'test_dataloader', say)
    systems = view_systems(calibration.stages(), np.asarray(calibration.labels), names)
    rows = view_metrics(systems, test.stages(), np.asarray(test.labels))
    say('timing')
    for name, speed in _images_per_second(cfg, systems, timed_images).items():
        rows[name]['images_per_second'] = speed
    results = {
        'schema': SCHEMA,
        'machine': machine(),
        'units': test.units,
        'systems': {name: {**asdict(system), **rows[name]} for name, system in systems.items()},
    }
    write_json(work_dir / 'self_cascade.json', results)
    return results


def _scores(cfg: Config, folder: Path, split: str, say: Say) -> tuple[ScoreStore, list[str]]:
    say(f'scores of all views on {split}')
    store, identity = of_kind(ScoreStore, prepare_store(cfg, folder, split))
    return store, [stage.input for stage in identity.stages]


def _images_per_second(cfg: Config, systems: Mapping[str, ViewCascade], count: int) -> dict[str, float]:
    """Of the router on real members, from images in memory: the best of three runs."""
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    model = build_without_calibration(cfg)
    dataset = DATASETS.build(copy.deepcopy(cfg.test_dataloader.dataset))
    subset = torch.utils.data.Subset(dataset, range(min(count, len(dataset))))
    loader = Runner.build_dataloader(
        dict(
            cfg.test_dataloader,
            dataset=subset,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        )
    )
    batches = [as_views(batch['inputs']) for batch in loader]
    speeds = {}
    for name, system in systems.items():
        router = CascadeRouter([model.stages[k] for k in system.stages], WindowPolicy(system.windows))
        speeds[name] = len(subset) / min(_seconds(router, batches) for _ in range(3))
    return speeds


@torch.no_grad()
def _seconds(router: CascadeRouter, batches: Sequence[list[torch.Tensor]]) -> float:
    start = time.perf_counter()
    for batch in batches:
        router.route(batch, None)
    return time.perf_counter() - start


def _accuracy(result: Replay, labels: np.ndarray) -> float:
    return float((result.label == labels).mean())


def views_table(results: Mapping[str, Any]) -> Table:
    """One row per system."""
    full = results['systems']['all views']['cost/macs']
    rows = []
    for name, row in results['systems'].items():
        kept = row.get('kept')
        rows.append(
            [
                name,
                row['accuracy/top1'],
                row['selective/coverage@risk5'],
                row['cost/macs'],
                row['cost/macs'] / full,
                None if kept is None else with_interval(kept['estimate'], kept['low'], kept['high'], '.0f'),
                row['images_per_second'],
                ', '.join(f'{share:.0f}' for share in row['reached']),
            ]
        )
    return Table.of(COLUMNS, rows)
