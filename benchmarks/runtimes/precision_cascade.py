# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One member in two stages: first in a fast precision, then in float32 where its decision is near a boundary.

    python benchmarks/runtimes/precision_cascade.py --json benchmarks/results/precision_cascade.json

EfficientNet-Lite0 and Lite2 on a public subset of ImageNet's validation photos, ResNet-20 and ResNet-56 on CIFAR-10's
test photos, as they are; ResNet-50 (random weights) for its time. `mmcascade data imagenet_subset`,
`mmcascade data cifar10` and `tools/convert_lite_weights.py work_dirs/efficientnet-lite` bring them. The decision is the
label, whose boundary is where two classes are equally likely: an image goes on where the gap between the two largest
probabilities is at most a threshold. On one half of the images the threshold is set so that at most --risk of the
labels there differ from float32's; on the other half are counted the share that goes on and the labels that differ,
with a Wilson interval of 95 %.

Time is measured, as the multiply-adds of the two stages are equal: milliseconds per image of both precisions taken in
turns, and what follows, (fast + share * float32) / float32. Rows of a precision that loses are there, too.
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lites import ROOT, lite, load_images, photos_in
from member_runtimes import resnet
from PIL import Image
from torch import Tensor, nn

from mmcascade._system.memory import keep_freed_memory
from mmcascade.engine.benchmark.timing import interleaved
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.members.members import build_member
from mmcascade.models.runtimes.engines import installed
from mmcascade.routing import WindowPolicy

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, print_table, write_rows

IMAGENET = ('data/imagenet_subset/even', 'mmcascade data imagenet_subset')
CIFAR = ('data/cifar10/test', 'mmcascade data cifar10')
#: The fast stage, and the exact one behind it.
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    'openvino bfloat16 -> openvino': (dict(runtime='openvino:bfloat16'), dict(runtime='openvino')),
    'torch bfloat16 -> torch': (dict(amp='bfloat16'), dict(amp='float32')),
    'onnxruntime int8 -> onnxruntime': (
        dict(runtime=dict(type='onnxruntime', precision='int8')),
        dict(runtime='onnxruntime'),
    ),
    'openvino int8 -> openvino': (dict(runtime=dict(type='openvino', precision='int8')), dict(runtime='openvino')),
}


@dataclass(frozen=True)
class Case:
    """A member and the photos that it is judged on.

    Attributes:
        build: gives the network.
        side: of its images, in pixels.
        photos: their folder, and the command that brings them; None = its weights are random, and only its time counts.
    """

    build: Callable[[], nn.Module]
    side: int
    photos: tuple[str, str] | None

    def images(self, count: int, side: int) -> Tensor:
        """At most so many images, uint8 ``(N, 3, side, side)`` in the order BGR."""
        if self.photos is None:
            return load_images(min(count, 64), [side]).stacked(0)
        folder, needs = self.photos
        photos = photos_in(ROOT / folder, needs)
        chosen = np.random.default_rng(0).permutation(len(photos))[:count]
        pixels = [np.asarray(Image.open(photos[k]).convert('RGB').resize((side, side)))[..., ::-1] for k in chosen]
        return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()


def cifar(depth: int) -> nn.Module:
    config, weights = f'configs/cifar10/resnet{depth}.py', ROOT / f'data/cifar10/networks/resnet{depth}.pth'
    return build_member(f'resnet{depth}', str(ROOT / config), weights).module


CASES = {
    'EfficientNet-Lite0': Case(partial(lite, 'lite0'), 224, IMAGENET),
    'EfficientNet-Lite2': Case(partial(lite, 'lite2'), 260, IMAGENET),
    'CIFAR ResNet-20': Case(partial(cifar, 20), 32, CIFAR),
    'CIFAR ResNet-56': Case(partial(cifar, 56), 32, CIFAR),
    'ResNet-50': Case(resnet, 224, None),
}


def wilson(hits: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of a share."""
    share, spread = hits / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def threshold_for(gap: np.ndarray, other: np.ndarray, risk: float) -> float:
    """The smallest gap up to which images must go on so that at most a share of all labels stays another one."""
    allowed = int(risk * len(gap))
    wrong = np.sort(gap[other])[::-1]
    return float(wrong[allowed]) if len(wrong) > allowed else -1.0


def probabilities(stage: Any, images: Tensor, batch: int) -> np.ndarray:
    return torch.cat([stage.forward(part).logits.softmax(1) for part in images.split(batch)]).numpy()


@torch.no_grad()
def measure(name: str, images: Tensor, args: Any, file: str) -> list[dict[str, Any]]:
    """The rows of a member, one for each pair of precisions."""
    module, real = CASES[name].build(), CASES[name].photos is not None
    rows = []
    for pair, (given, exact) in PAIRS.items():
        if not pair.startswith('torch') and pair.partition(' ')[0] not in installed():
            continue
        fast = dict(given)
        if isinstance(fast.get('runtime'), dict):
            fast['runtime'] = dict(fast['runtime'], images=file)
        model = WindowCascadeClassifier(
            dict(member=module),
            stages=[dict(member='member', **fast), dict(member='member', **exact)],
            confidence='prob_gap',
            fusion='replace',
            policy=WindowPolicy([(None, 0.0)]),
        )
        quick, slow = (probabilities(stage, images, args.batch) for stage in model.stages)
        two = np.sort(quick, axis=1)[:, -2:]
        gap, other = two[:, 1] - two[:, 0], quick.argmax(1) != slow.argmax(1)
        fitted = np.arange(len(images)) % 2 == 0
        threshold = threshold_for(gap[fitted], other[fitted], args.risk)
        goes_on = gap <= threshold
        left = other & ~goes_on
        tested = ~fitted
        part = images[: max(args.batch, args.timed // args.batch * args.batch)].split(args.batch)

        def run(stage: Any, part: Any = part) -> None:
            for batch in part:
                stage.forward(batch)

        calls = {('fast', 'exact')[k]: partial(run, stage) for k, stage in enumerate(model.stages)}
        seconds = interleaved(calls, args.repeats, torch.device('cpu'))
        share = float(goes_on[tested].mean())
        times = [(f + share * e) / e for f, e in zip(seconds['fast'], seconds['exact'], strict=True)]
        count = sum(map(len, part))
        low, high = wilson(int(left[tested].sum()), int(tested.sum()))
        rows.append(
            dict(
                member=name,
                pair=pair,
                fast_ms=1e3 * statistics.median(seconds['fast']) / count,
                float32_ms=1e3 * statistics.median(seconds['exact']) / count,
                other_labels_fast_alone=float(other[tested].mean()) if real else None,
                goes_on=share if real else None,
                other_labels=float(left[tested].mean()) if real else None,
                other_labels_low=low if real else None,
                other_labels_high=high if real else None,
                time_of_float32=statistics.median(times) if real else None,
                time_lowest=min(times) if real else None,
                time_highest=max(times) if real else None,
                fast_alone=statistics.median(f / e for f, e in zip(seconds['fast'], seconds['exact'], strict=True)),
                images=len(images),
            )
        )
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--images', type=int, default=2000, help='at most; half of them set the threshold')
    parser.add_argument('--timed', type=int, default=32, help='images of a timed run')
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--repeats', type=int, default=9)
    parser.add_argument('--risk', type=float, default=0.001, help='share of labels that may differ')
    parser.add_argument('--members', nargs='+', choices=CASES, default=list(CASES))
    parser.add_argument('--quick', action='store_true', help='a few images of 64 px, once: measures nothing')
    args = parser.parse_args()
    keep_freed_memory()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        if args.quick:
            args.images, args.timed, args.repeats = 40, 8, 1
        for name in args.members:
            images = CASES[name].images(args.images, 64 if args.quick else CASES[name].side)
            np.save(f'{folder}/images.npy', images[::2][:128].numpy())  # int8 sees what sets the threshold, and no more
            rows += measure(name, images, args, f'{folder}/images.npy')
            if args.json:
                write_rows(args.json, rows)
    print_table(rows)


if __name__ == '__main__':
    main()
