# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""mmcascade beside what a user would pick instead, around the same member objects on the same images.

    pip install -r requirements/benchmark.txt
    python benchmarks/runtimes/peers.py --groups pair --json benchmarks/results/peers.json
    python benchmarks/runtimes/peers.py --groups mirrored --json benchmarks/results/peers_mirrored.json
    python docs/update_tables.py

EfficientNet-Lite0 -> Lite2, 20 % deferred, images in memory; and Lite0 -> Lite0 on the mirrored image beside
MMPretrain's test-time augmentation. Weights and photos are those of `make demo-imagenet`; crops of the photos, with
noise, make up the number. Every exit rule is (None, t), the only kind that the others know, and a later stage replaces
the scores of an earlier one, which is what they do. Every way runs at its own best batch sizes, found in the same way
for all: by trials of whole runs.

The limit is what the two members would take by themselves for the images that reach them, each at the best of the same
batch sizes and in the fastest of the runtimes that are installed. In every round it is taken anew, beside the others.
What can use another runtime is there once for each: a peer as a few lines around its sessions, and ours.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lites import SIDES, lite, load_images
from mmpretrain.models import AverageClsScoreTTA
from torch import Tensor, nn
from trials import explored, fastest
from ways import (
    Member,
    SessionModule,
    Sizes,
    Way,
    augmentation,
    ensemble,
    fallback,
    filter_each_batch,
    ours,
    single,
    two_passes,
)

from mmcascade._system.memory import keep_freed_memory
from mmcascade.engine.benchmark.systems import Images
from mmcascade.engine.benchmark.timing import interleaved, spread
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.runtimes.batch_sizes import best_size, sweep
from mmcascade.models.runtimes.engines import TORCH, installed
from mmcascade.routing import WindowPolicy

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, print_table, write_rows

DEFERRED = 0.2

#: Batch sizes that are tried for every stage.
TRIALS = (2, 4, 8, 16, 32)


def threshold_for(scores: Tensor, share: float) -> float:
    """A threshold in the middle between two scores, so that rounding moves nobody across it."""
    ordered = scores.double().sort().values
    last = max(0, round(share * len(ordered)) - 1)
    return float(ordered[last : last + 2].mean())


class Group:
    """Ways to run one pair of stages, and the limit of the pair.

    Args:
        label: of the pair.
        modules: the two members.
        images: with one view for each.
        batch: of the loader.
        trials: batch sizes to try for every stage of every way.
        runtimes: what runs the members: ways that can are there once for each of them, and the limit takes each
            member in the one in which it is fastest.
    """

    def __init__(
        self,
        label: str,
        modules: Sequence[nn.Module],
        images: Images,
        batch: int,
        trials: Sequence[int],
        runtimes: Sequence[str] = (TORCH,),
    ) -> None:
        self.label, self.modules, self.images, self.batch, self.trials = label, modules, images, batch, trials
        scores = Member(modules[0], batch).probs(images.stacked(0)).max(1).values
        self.threshold = threshold_for(scores, DEFERRED)
        names = [f'stage{index}' for index in range(2)]
        models = {
            runtime: WindowCascadeClassifier(
                members=dict(zip(names, modules, strict=True)),
                fusion='replace',
                policy=WindowPolicy([(None, self.threshold)]),
                stages=[dict(member=name, view=view, runtime=runtime) for view, name in enumerate(names)],
            )
            for runtime in runtimes
        }
        self.start = tuple(
            best_size(sweep(stage.forward, images.views[stage.view][0], trials)) for stage in models[TORCH].stages
        )
        #: The members as anybody would run them, by runtime.
        self.bare = {
            runtime: [
                module if runtime == TORCH else SessionModule(module, images.views[k][0], runtime)
                for k, module in enumerate(modules)
            ]
            for runtime in runtimes
        }
        self.ways = {
            f'mmcascade {name}{named(runtime)}': Way(partial(ours, model, deferred, batch), self.start)
            for runtime, model in models.items()
            for name, deferred in (('deferred', True), ('plain', False))
        }

    @torch.no_grad()
    def measure(self, repeats: int) -> list[dict[str, Any]]:
        """One row per way, ours first, each at its best batch sizes."""
        sizes = self._tuned()
        labels, exits = two_passes(self.modules, self.threshold, self.images, self.start)
        assert exits is not None
        load = os.getloadavg()[0]
        calls = {('way', name): partial(way.run, self.images, sizes[name]) for name, way in self.ways.items()}
        choices = list(product(self.bare, self.trials))
        bare = {('bare', k, *choice): partial(self._bare, k, *choice) for k in range(2) for choice in choices}
        seconds = interleaved({**bare, **calls}, repeats, torch.device('cpu'))
        count, reach = len(self.images), [1.0, float(exits.mean())]
        best = [
            choices[int(np.argmin([statistics.median(self._per_image(seconds, k, *choice)) for choice in choices]))]
            for k in range(2)
        ]
        limits = [
            count * sum(r * t for r, t in zip(reach, times, strict=True))
            for times in zip(*(self._per_image(seconds, k, *best[k]) for k in range(2)), strict=True)
        ]
        rows = []
        for name, call in calls.items():
            own_labels, own_exits = call()
            shares = [limit / s for limit, s in zip(limits, seconds[name], strict=True)]
            speed = spread([count / s for s in seconds[name]])
            rows.append(
                dict(
                    group=self.label,
                    name=name[1],
                    units_per_s=speed['median'],
                    lowest=speed['lowest'],
                    highest=speed['highest'],
                    share_of_limit=statistics.median(shares),
                    share_lowest=min(shares),
                    share_highest=max(shares),
                    batches='/'.join(map(str, sizes[name[1]])),
                    same_decisions=own_exits is not None
                    and bool(np.array_equal(own_labels, labels) and np.array_equal(own_exits, exits)),
                    deferred=reach[1],
                    images=count,
                    loader_batch=self.batch,
                    limit_batches='/'.join(str(size) for _, size in best),
                    limit_runtimes='/'.join(runtime for runtime, _ in best),
                    repeats=repeats,
                    load_before=round(load, 2),
                    load_after=round(os.getloadavg()[0], 2),
                )
            )
        return rows

    def _tuned(self) -> dict[str, Sizes]:
        """The best batch sizes of every way; what was found for one is tried for all, as a single trial may mislead."""
        runs = {name: partial(way.run, self.images) for name, way in self.ways.items()}
        found = {}
        for name, run in runs.items():
            print(f'batch sizes of {name} ...', file=sys.stderr, flush=True)  # minutes each
            found[name] = explored(run, self.ways[name].start, self.trials)
        return {
            name: fastest(run, {sizes for sizes in found.values() if len(sizes) == len(found[name])}, repeats=3)
            for name, run in runs.items()
        }

    def _per_image(self, seconds: dict[Any, list[float]], stage: int, runtime: str, size: int) -> list[float]:
        return [s / self._bare_count(size) for s in seconds['bare', stage, runtime, size]]

    def _bare_count(self, size: int) -> int:
        """Full batches only, from half of the images; one in any case."""
        return min(len(self.images), max(1, len(self.images) // 2 // size) * size)

    def _bare(self, stage: int, runtime: str, size: int) -> None:
        Member(self.bare[runtime][stage], size).probs(self.images.stacked(stage)[: self._bare_count(size)])


def two_members(count: int, batch: int, trials: Sequence[int], runtimes: Sequence[str]) -> Group:
    images = load_images(count, list(SIDES.values()))
    group = Group('Lite0 -> Lite2', [lite(name) for name in SIDES], images, batch, trials, runtimes)
    group.ways |= peers(group)
    return group


def peers(group: Group) -> dict[str, Way]:
    """Other ways to run the two members of a group, in every runtime of it."""
    found: dict[str, Way] = {}
    for runtime in group.bare:
        found |= {f'{name}{named(runtime)}': way for name, way in _peers_in(group, group.bare[runtime]).items()}
    return found


def named(runtime: str) -> str:
    """What follows the name of a way in a runtime; nothing for torch."""
    return '' if runtime == TORCH else f', {runtime}'


def _peers_in(group: Group, modules: Sequence[nn.Module]) -> dict[str, Way]:
    pair = modules, group.threshold
    return {
        'scikit-fallback, whole set in one call': Way(partial(fallback, *pair, None), group.start),
        'scikit-fallback, per loader batch': Way(partial(fallback, *pair, group.batch), group.start),
        'filter within each batch, Xia & Bouganis': Way(partial(filter_each_batch, *pair), group.start[:1]),
        'two offline passes': Way(partial(two_passes, *pair), group.start),
        'larger member alone': Way(partial(single, modules[1], 1), group.start[1:]),
        'full ensemble': Way(partial(ensemble, modules), group.start),
    }


def self_cascade(count: int, batch: int, trials: Sequence[int], runtimes: Sequence[str]) -> Group:
    images = load_images(count, [SIDES['lite0']])
    images = Images([images.views[0], images.stacked(0).flip(-1)], images.samples)
    module = lite('lite0')
    group = Group('Lite0 -> Lite0 mirrored', [module, module], images, batch, trials, runtimes)
    model = AverageClsScoreTTA(module=module).eval()
    group.ways['MMPretrain TTA'] = Way(partial(augmentation, model), group.start[:1])
    return group


GROUPS = {'pair': two_members, 'mirrored': self_cascade}


@torch.no_grad()
def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--images', type=int, default=240)
    parser.add_argument('--batch', type=int, default=32, help='of the loader')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--runtimes', nargs='+', default=[TORCH, *installed()], help='torch, and others beside it')
    parser.add_argument('--trials', nargs='+', type=int, default=TRIALS, help='batch sizes that are tried')
    parser.add_argument('--only', nargs='+', help='ways whose names begin with one of these')
    parser.add_argument('--groups', nargs='+', choices=GROUPS, default=list(GROUPS))
    parser.add_argument('--quick', action='store_true', help='a few images, once: shows the form, measures nothing')
    args = parser.parse_args()
    keep_freed_memory()  # or else what ran before decides how fast a batch size is
    count, repeats, trials = (20, 1, (4,)) if args.quick else (args.images, args.repeats, args.trials)
    rows = []
    for name in args.groups:
        group = GROUPS[name](count, args.batch, trials, args.runtimes)
        if args.only:
            group.ways = {way: run for way, run in group.ways.items() if way.startswith(tuple(args.only))}
        rows += group.measure(repeats)
        if args.json:  # the next group takes its time
            write_rows(args.json, rows, [runtime for runtime in args.runtimes if runtime != TORCH])
    print_table(
        [
            {
                key: row[key]
                for key in (
                    'group',
                    'name',
                    'batches',
                    'units_per_s',
                    'lowest',
                    'highest',
                    'share_of_limit',
                    'same_decisions',
                )
            }
            for row in rows
        ]
    )


if __name__ == '__main__':
    main()
