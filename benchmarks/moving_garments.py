# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Clips of moving garments: self-cascades over frames and over parts of a clip, and a committee of two networks.

    python tools/dataset_converters/fashion_mnist.py
    python benchmarks/moving_garments.py

Two small networks with convolutions over space and time are trained on clips of 16 frames, of which they see 1, 2, 4 or
8 evenly spaced ones, or a half, batch by batch. Of the six classes, two pairs differ by nothing but the direction of
the motion, which no single frame shows. Thresholds are fitted on clips of their own; each cascade is to keep the
accuracy of the system that runs everything, at the least multiply-adds. Intervals are paired, 95 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import arguments, report
from torch import Tensor, nn

from mmcascade import WindowCascadeClassifier
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.one_sided.shares import fit_shares
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.replay.replay import Replay, replay
from mmcascade.datasets.quickstart.canvases import source_garments
from mmcascade.datasets.quickstart.moving_garments import CLASSES, moving_garments
from mmcascade.evaluation.curves.intervals.bootstrap import bootstrap
from mmcascade.routing import CachedStage, UnitBatch, WindowPolicy

FRAMES = 16
STAGES: list[dict[str, Any]] = [
    dict(member='a', frames=1),
    dict(member='a', frames=2),
    dict(member='a', frames=4),
    dict(member='a', frames=8),
    dict(member='a', part=(0, 2)),
    dict(member='a', part=(1, 2)),
    dict(member='b', frames=8),
]
#: Which stages make a cascade, cheap first.
CHAINS = {
    'over frames, 2 > 8': (1, 3),
    'over frames, 2 > 4 > 8': (1, 2, 3),
    'over halves of the clip': (4, 5),
    'committee of two networks': (3, 6),
}


class ClipNet(nn.Module):
    """Clips ``(N, T, 1, 32, 32)`` of any length to logits."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        widths = (1, width, 2 * width, 4 * width)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv3d(a, b, 3, (1, 2, 2), 1, bias=False), nn.BatchNorm3d(b), nn.ReLU(inplace=True))
                for a, b in zip(widths, widths[1:], strict=False)
            )
        )
        self.head = nn.Linear(widths[-1], len(CLASSES))

    def forward(self, clips: Tensor) -> Tensor:
        """Logits ``(N, classes)``."""
        maps = self.layers((clips.float() / 128 - 0.4).transpose(1, 2))
        return self.head(maps.mean((2, 3, 4)))


def trained(clips: Tensor, classes: Tensor, seed: int, epochs: int) -> ClipNet:
    """A network that knows every number of frames that a stage may give it."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network, size = ClipNet(), 50
    optimiser = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True)
    steps = epochs * (len(clips) // size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(clips)).split(size):
            if len(rows) < size:
                continue
            count = int(random.choice([1, 2, 4, 8, 8]))
            first, stop = [(0, FRAMES), (0, FRAMES), (0, FRAMES // 2), (FRAMES // 2, FRAMES)][random.integers(4)]
            chosen = first + (2 * np.arange(count) + 1) * (stop - first) // (2 * count)
            loss = nn.functional.cross_entropy(network(clips[rows][:, chosen]), classes[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def stored(model: WindowCascadeClassifier, clips: Tensor) -> list[CachedStage]:
    """Every stage on every clip."""
    found = []
    for stage in model.stages:
        parts = [stage(UnitBatch.submitted([part], np.arange(len(part)), 0)) for part in clips.split(100)]
        logits = torch.cat([part.logits for part in parts if part.logits is not None])
        found.append(CachedStage(logits, macs=float(parts[0].macs), source=stage.source))
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Train, fit, measure, print."""
    parser = arguments(__doc__)
    parser.add_argument('--data', type=Path, default=Path('data/fashion_mnist'), help='files of Fashion-MNIST')
    parser.add_argument('--clips', type=int, default=6000, help='to train on; half as many to fit on and to test on')
    parser.add_argument('--epochs', type=int, default=4)
    args = parser.parse_args(argv)
    clips: dict[str, tuple[Tensor, Tensor]] = {}
    for seed, (split, count) in enumerate((('train', args.clips), ('val', args.clips // 2), ('test', args.clips // 2))):
        made = moving_garments(*source_garments(args.data, split), count=count, frames=FRAMES, seed=seed)
        images, classes = map(torch.from_numpy, made)
        clips[split] = images, classes
    members = {name: dict(model=trained(*clips['train'], seed, args.epochs)) for seed, name in enumerate('ab')}
    model = WindowCascadeClassifier(members, STAGES, policy=WindowPolicy([(None, None)] * (len(STAGES) - 1)))
    report(rows_of(model, clips), args.json)


def rows_of(model: WindowCascadeClassifier, clips: dict[str, tuple[Tensor, Tensor]]) -> list[dict]:
    """Each stage alone, each chain with everything run, and as a cascade."""
    fit, test = (stored(model, clips[name][0]) for name in ('val', 'test'))
    fit_labels, labels = (clips[name][1].numpy() for name in ('val', 'test'))
    rows = []

    def add(name: str, found: Replay, full: Replay | None = None) -> None:
        right = found.label == labels
        moving = labels < 4  # classes that only differ by their motion
        row = dict(
            system=name,
            accuracy=round(100 * right.mean(), 2),
            moving=round(100 * right[moving].mean(), 2),
            mmacs=round(found.macs.mean() / 1e6, 3),
            share=None if full is None else round(found.macs.mean() / full.macs.mean(), 3),
            less='',
        )
        if full is not None:
            whole = full.label == labels
            less = bootstrap(lambda rows: 100 * float(right[rows].mean() - whole[rows].mean()), len(labels))
            row['less'] = f'{less.estimate:+.2f} ({less.low:+.2f} to {less.high:+.2f})'
        rows.append(row)

    for k, stage in enumerate(model.stages):
        add(f'{stage.member}: {stage.describe()}', replay([test[k]], WindowPolicy([]), len(labels)))
    identity = model.identity(with_weights=False)
    for name, chain in CHAINS.items():
        stages, gaps = [test[k] for k in chain], len(chain) - 1
        full = replay(stages, WindowPolicy([(None, None)] * gaps), len(labels))
        add(f'all of {name}', full)
        evidence = Evidence.of_stages([fit[k] for k in chain], fit_labels, identity)
        goal = 1 - float(evidence.exits[-1].wrong.mean())
        windows = fit_shares(evidence.exits, evidence.units, Target('accuracy', goal)).windows
        add(f'cascade {name}', replay(stages, WindowPolicy(windows), len(labels)), full)
    return rows


if __name__ == '__main__':
    main()
