# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""mmcascade beside what a user would pick instead, around the same member objects on the same images.

    pip install -r requirements/benchmark.txt
    python benchmarks/peers.py --json benchmarks/results/peers.json
    python docs/update_tables.py

EfficientNet-Lite0 -> Lite2, 20 % deferred, images in memory; and Lite0 -> Lite0 on the mirrored image beside
MMPretrain's test-time augmentation. Weights and photos are those of `make demo-imagenet`; crops of the photos, with
noise, make up the number. Every exit rule is (None, t), the only kind that the others know, and a later stage replaces
the scores of an earlier one, which is what they do. Every system runs each member at its best batch size.

The limit is what the two members would take by themselves at their best batch sizes for the images that reach them. In
every round it is taken anew, beside the systems.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import print_table, write_rows
from mmpretrain.models import AverageClsScoreTTA
from mmpretrain.structures import DataSample
from PIL import Image
from skfb.ensemble import ThresholdCascadeClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import Tensor, nn

from mmcascade.engine.benchmark_systems import Images, System, with_batch_size
from mmcascade.engine.timing import interleaved, spread
from mmcascade.models.batch_sizes import SIZES, best_size, sweep
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.members import build_member, num_classes
from mmcascade.routing import WindowPolicy

ROOT = Path(__file__).parents[1]
SIDES = dict(lite0=224, lite2=260)
DEFERRED = 0.2

#: Labels ``(N)`` and, for a cascade, exit stages ``(N)``.
Decisions = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class Member:
    """A member as anybody would run it: images of one view in, probabilities out, in batches of its best size."""

    module: nn.Module
    view: Tensor
    size: int

    def probs(self, rows: np.ndarray) -> Tensor:
        return torch.cat([self._batch(rows[start:start + self.size]) for start in range(0, len(rows), self.size)])

    def _batch(self, rows: np.ndarray) -> Tensor:
        return self.at_once(self.view[torch.as_tensor(rows)])

    def at_once(self, images: Tensor) -> Tensor:
        return self.module(self.module.data_preprocessor(dict(inputs=images))['inputs']).softmax(1)


class Estimator(ClassifierMixin, BaseEstimator):
    """A member as scikit-fallback wants it; the samples are row numbers."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.classes_ = np.arange(num_classes(member.module))

    def fit(self, X: Any, y: Any) -> Estimator:
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.member.probs(X[:, 0]).numpy()


def single(member: Member) -> Decisions:
    return member.probs(np.arange(len(member.view))).argmax(1).numpy(), None


def ensemble(members: Sequence[Member]) -> Decisions:
    rows = np.arange(len(members[0].view))
    return sum(member.probs(rows) for member in members).argmax(1).numpy(), None  # type: ignore[union-attr]


def fallback(cascade: ThresholdCascadeClassifier, count: int, batch: int) -> Decisions:
    predicted = [cascade.predict(np.arange(start, min(start + batch, count))[:, None])
                 for start in range(0, count, batch)]
    return (np.concatenate([np.asarray(p) for p in predicted]),
            np.concatenate([p.ensemble_mask.toarray().argmax(1) for p in predicted]))


def filter_each_batch(members: Sequence[Member], threshold: float, batch: int) -> Decisions:
    """The rest of every batch goes on by itself, as in the timing of Xia & Bouganis 2023."""
    first, second = members
    labels, exits = [], []
    for start in range(0, len(first.view), batch):
        probs = first.at_once(first.view[start:start + batch])
        score, label = probs.max(1)
        rest = score <= threshold
        if rest.any():
            label[rest] = second.at_once(second.view[start:start + batch][rest]).argmax(1)
        labels.append(label)
        exits.append(rest.long())
    return torch.cat(labels).numpy(), torch.cat(exits).numpy()


def two_passes(members: Sequence[Member], threshold: float) -> Decisions:
    """All images through the first member, and then, from the start, the uncertain ones through the second."""
    first, second = members
    score, label = first.probs(np.arange(len(first.view))).max(1)
    rest = (score <= threshold).numpy()
    if rest.any():
        label[torch.as_tensor(rest)] = second.probs(np.flatnonzero(rest)).argmax(1)
    return label.numpy(), rest.astype(np.int64)


def augmentation(model: AverageClsScoreTTA, views: Sequence[Tensor], batch: int) -> Decisions:
    """MMPretrain's test-time augmentation: every view of every image."""
    labels = []
    for start in range(0, len(views[0]), batch):
        rows = [view[start:start + batch] for view in views]
        samples = [[DataSample() for _ in range(len(rows[0]))] for _ in rows]
        labels += [int(s.pred_label) for s in model.test_step(dict(inputs=rows, data_samples=samples))]
    return np.array(labels), None


def ours(system: System, images: Images, batch: int) -> Decisions:
    outcome = system.run(images.batches(batch))
    return outcome.probs.argmax(1).numpy(), outcome.exit_stage


def load_images(count: int, sides: Sequence[int], seed: int = 0) -> Images:
    """Random crops of the photos with noise, each at every resolution."""
    photos = sorted(path for path in (ROOT / 'data' / 'foolbox' / 'val').rglob('*') if path.suffix in ('.png', '.jpg'))
    if not photos:
        raise SystemExit('error: there are no photos in data/foolbox; run `make demo-imagenet` first')
    rng = np.random.default_rng(seed)
    views: list[list[Tensor]] = [[] for _ in sides]
    for index in range(count):
        photo = Image.open(photos[index % len(photos)]).convert('RGB')
        side = int(min(photo.size) * rng.uniform(0.5, 1.0))
        left, top = (int(rng.integers(0, length - side + 1)) for length in photo.size)
        noise = rng.uniform(0, 30)
        for view, size in zip(views, sides, strict=True):
            pixels = np.asarray(photo.crop((left, top, left + side, top + side)).resize((size, size)), np.float32)
            pixels = (pixels + rng.normal(0, noise, pixels.shape)).clip(0, 255).astype(np.uint8)
            view.append(torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1))  # BGR, as mmcv reads
    return Images([torch.stack(view) for view in views], [DataSample() for _ in range(count)])


def lite(name: str) -> nn.Module:
    config = dict(_scope_='mmpretrain', type='TimmClassifier', model_name=f'tf_efficientnet_{name}',
                  data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True))
    checkpoint = ROOT / 'work_dirs' / 'efficientnet-lite' / f'{name}.pth'
    if not checkpoint.exists():
        raise SystemExit(f'error: {checkpoint} is missing; run `make demo-imagenet` first')
    return build_member(name, config, checkpoint).module


def threshold_for(scores: Tensor, share: float) -> float:
    """A threshold in the middle between two scores, so that rounding moves nobody across it."""
    ordered = scores.double().sort().values
    last = max(0, round(share * len(ordered)) - 1)
    return float(ordered[last:last + 2].mean())


def best_of(candidates: Sequence[int], run: Callable[[int], Any]) -> int:
    """The batch size at which a whole system is fastest, by one run each after one to warm up."""
    run(candidates[0])
    seconds = interleaved({str(size): partial(run, size) for size in candidates}, 1, torch.device('cpu'))
    return min(candidates, key=lambda size: seconds[str(size)][0])


class Group:
    """Systems for one pair of stages, and the limit of the pair.

    Args:
        label: of the pair.
        modules: the two members.
        images: with one view for each.
        batch: of the loader.
    """

    def __init__(self, label: str, modules: Sequence[nn.Module], images: Images, batch: int,
                 sizes: Sequence[int]) -> None:
        self.label, self.images, self.batch = label, images, batch
        names = [f'stage{index}' for index in range(2)]
        self.model = WindowCascadeClassifier(
            members=dict(zip(names, modules, strict=True)), fusion='replace',
            stages=[dict(member=name, view=view) for view, name in enumerate(names)])
        best = [best_size(sweep(stage.forward, images.views[stage.view][0], sizes)) for stage in self.model.stages]
        self.members = [Member(module, view, size)
                        for module, view, size in zip(modules, images.views, best, strict=True)]
        self.threshold = threshold_for(self.members[0].probs(np.arange(len(images))).max(1).values, DEFERRED)
        stages = [with_batch_size(stage, size) for stage, size in zip(self.model.stages, best, strict=True)]
        policy = WindowPolicy([(None, self.threshold)])
        self.calls: dict[str, Callable[[], Decisions]] = {
            'mmcascade deferred': partial(ours, System.of(self.model, stages, policy), images, batch),
            'mmcascade plain': partial(ours, System.of(self.model, stages, policy, deferred=False), images, batch)}

    @torch.no_grad()
    def measure(self, repeats: int) -> list[dict[str, Any]]:
        """One row per system, ours first."""
        labels, exits = two_passes(self.members, self.threshold)
        assert exits is not None
        bare = {('bare', index): partial(self._bare, member) for index, member in enumerate(self.members)}
        load = os.getloadavg()[0]
        seconds = interleaved({**bare, **{('system', name): call for name, call in self.calls.items()}}, repeats,
                              torch.device('cpu'))
        count = len(self.images)
        reach = [1.0, float(exits.mean())]
        limits = [count * sum(r * seconds['bare', k][turn] / self._bare_count(m)
                              for k, (r, m) in enumerate(zip(reach, self.members, strict=True)))
                  for turn in range(repeats)]
        rows = []
        for name, call in self.calls.items():
            own_labels, own_exits = call()
            shares = [limit / s for limit, s in zip(limits, seconds['system', name], strict=True)]
            speed = spread([count / s for s in seconds['system', name]])
            rows.append(dict(
                group=self.label, name=name, units_per_s=speed['median'], lowest=speed['lowest'],
                highest=speed['highest'], share_of_limit=statistics.median(shares), share_lowest=min(shares),
                share_highest=max(shares),
                same_decisions=own_exits is not None and bool(
                    np.array_equal(own_labels, labels) and np.array_equal(own_exits, exits)),
                deferred=reach[1], images=count, loader_batch=self.batch,
                member_batches='/'.join(str(member.size) for member in self.members), repeats=repeats,
                load_before=round(load, 2), load_after=round(os.getloadavg()[0], 2)))
        return rows

    def _bare_count(self, member: Member) -> int:
        return max(member.size, len(self.images) // member.size * member.size)

    def _bare(self, member: Member) -> None:
        rows = np.arange(self._bare_count(member)) % len(self.images)
        member.probs(rows)


def two_members(count: int, batch: int, sizes: Sequence[int], trials: Sequence[int]) -> Group:
    images = load_images(count, list(SIDES.values()))
    group = Group('Lite0 -> Lite2', [lite(name) for name in SIDES], images, batch, sizes)
    group.calls |= peers(group, trials)
    return group


def peers(group: Group, trials: Sequence[int]) -> dict[str, Callable[[], Decisions]]:
    """Other ways to run the two members of a group."""
    members, threshold, count, batch = group.members, group.threshold, len(group.images), group.batch
    cascade = ThresholdCascadeClassifier([Estimator(member) for member in members], [threshold], prefit=True)
    alone = best_of(trials, lambda size: filter_each_batch(members, threshold, size))
    return {
        'scikit-fallback, whole set in one call': partial(fallback, cascade, count, count),
        'scikit-fallback, per loader batch': partial(fallback, cascade, count, batch),
        f'filter within each batch (of {alone}), Xia & Bouganis': partial(filter_each_batch, members, threshold, alone),
        'two offline passes': partial(two_passes, members, threshold),
        'larger member alone': partial(single, members[1]),
        'full ensemble': partial(ensemble, members)}


def self_cascade(count: int, batch: int, sizes: Sequence[int], trials: Sequence[int]) -> Group:
    images = load_images(count, [SIDES['lite0']])
    images = Images([images.views[0], images.views[0].flip(-1)], images.samples)
    module = lite('lite0')
    group = Group('Lite0 -> Lite0 mirrored', [module, module], images, batch, sizes)
    model = AverageClsScoreTTA(module=module).eval()
    best = best_of(trials, lambda size: augmentation(model, images.views, size))
    group.calls[f'MMPretrain TTA (batch {best})'] = partial(augmentation, model, images.views, best)
    return group


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=240)
    parser.add_argument('--batch', type=int, default=32, help='of the loader')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--quick', action='store_true', help='a few images, once: shows the form, measures nothing')
    parser.add_argument('--json', help='also write the rows to this file')
    args = parser.parse_args()
    count, repeats, sizes, trials = args.images, args.repeats, SIZES, (4, 8, 16, 32, 64)
    if args.quick:
        count, repeats, sizes, trials = 20, 1, (4,), (8,)
    rows = []
    for make in (two_members, self_cascade):
        rows += make(count, args.batch, sizes, trials).measure(repeats)
    print_table([{key: row[key] for key in ('group', 'name', 'units_per_s', 'lowest', 'highest', 'share_of_limit',
                                            'same_decisions')} for row in rows])
    if args.json:
        write_rows(args.json, rows)


if __name__ == '__main__':
    main()
