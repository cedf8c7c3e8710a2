# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members by themselves in every runtime that is installed, and with what torch offers without leaving it.

    python benchmarks/runtimes/member_runtimes.py --json benchmarks/results/member_runtimes.json

EfficientNet-Lite0 and Lite2 at 224 and 260 px and ResNet-50 at 224 px (random weights: its time depends on none of
them), raw images in memory, preprocessing included. All ways of a member take turns, so that what else the machine does
meets them alike. Memory that is freed is kept, as the tools do.

Columns: milliseconds per image, median and lowest and highest of the rounds; how many times as fast as eager torch in
the same round; seconds until the first result, from nothing and with what an earlier start left in the user's cache;
the largest difference of a probability from eager torch on the photos.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lites import lite, load_images
from torch import Tensor, nn

from mmcascade._system.memory import keep_freed_memory
from mmcascade.engine.benchmark.timing import interleaved
from mmcascade.models.members.members import build_member
from mmcascade.models.runtimes.build import build_runtime
from mmcascade.models.runtimes.engines import installed
from mmcascade.models.runtimes.execution import Execution
from mmcascade.models.runtimes.networks.classifier_network import ClassifierNetwork
from mmcascade.routing.fusion.stage_output import StageOutput

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report

BATCHES = (1, 8)
#: Options of a stage by the name of the way.
WAYS: dict[str, dict[str, Any]] = {
    'torch, eager': {},
    'torch, channels_last': dict(channels_last=True),
    'torch, bfloat16': dict(amp='bfloat16'),
    'torch, channels_last, bfloat16': dict(channels_last=True, amp='bfloat16'),
    'torch, inductor': dict(compile=True),
    'torch, inductor, channels_last': dict(compile=True, channels_last=True),
    'onnxruntime': dict(runtime='onnxruntime'),
    'openvino': dict(runtime='openvino'),
    'openvino, static': dict(runtime=dict(type='openvino', static=True)),
    'openvino, bfloat16': dict(runtime='openvino:bfloat16'),
}
INT8 = ('onnxruntime', 'openvino')
MEMBERS = {'EfficientNet-Lite0': ('lite0', 224), 'EfficientNet-Lite2': ('lite2', 260), 'ResNet-50': ('resnet', 224)}


def resnet() -> nn.Module:
    """ResNet-50 with weights that keep images apart."""
    torch.manual_seed(0)
    config = dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(type='ResNet', depth=50),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=1000, in_channels=2048),
        data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    )
    return build_member('resnet', config).module


def folded(module: nn.Module) -> nn.Module | None:
    """A member with every normalisation folded into the convolution before it, or None where torch cannot trace it."""
    import copy

    from torch.fx.experimental.optimization import fuse

    twin = copy.deepcopy(module)
    part = 'model' if hasattr(twin, 'model') else 'backbone'
    try:
        setattr(twin, part, fuse(getattr(twin, part)))
    except Exception:  # tracing fails in as many ways as networks are written
        return None
    return twin.eval()


def ways_of(module: nn.Module, images: Tensor, folder: str, names: set[str] | None) -> dict[str, Callable[[], Any]]:
    """What builds each way, by its name."""
    file = f'{folder}/images_{images.shape[-1]}.npy'
    np.save(file, images[:64].numpy())
    options = dict(WAYS)
    options |= {f'{name}, int8': dict(runtime=dict(type=name, precision='int8', images=file)) for name in INT8}
    there = installed()
    kept = {
        name: given
        for name, given in options.items()
        if (names is None or name in names) and (name.startswith('torch') or name.partition(',')[0] in there)
    }

    def builder(given: dict[str, Any], of: nn.Module) -> Callable[[], Any]:
        import copy

        # channels_last changes the weights of a member for all its stages.
        return lambda: build_runtime(ClassifierNetwork(copy.deepcopy(of)), Execution(**given))

    made = {name: builder(given, module) for name, given in kept.items()}
    if (twin := folded(module)) is not None and names is None:
        made['torch, normalisation folded'] = builder({}, twin)
    return made


def _probabilities(output: StageOutput) -> Tensor:
    assert output.logits is not None
    return output.logits.softmax(1)


@torch.no_grad()
def measure(name: str, module: nn.Module, images: Tensor, args: Any) -> list[dict[str, Any]]:
    """The rows of a member."""
    runs, first, second, gaps = {}, {}, {}, {}
    reference = _probabilities(ClassifierNetwork(module)(images[:64]))
    names = None if args.ways is None else set(args.ways)
    for way, build in ways_of(module, images, args.folder, names).items():
        start = time.perf_counter()
        build()(images[:1], 1)
        first[way] = time.perf_counter() - start
        start = time.perf_counter()
        runs[way] = build()
        runs[way](images[:1], 1)
        second[way] = time.perf_counter() - start
        probabilities = torch.cat([_probabilities(runs[way](part, 8)) for part in images[:64].split(8)])
        gaps[way] = float((probabilities - reference).abs().max())
    rows = []
    for batch in BATCHES:
        parts = images[: max(batch, args.images // batch * batch)].split(batch)

        def run(way: str, parts: Any = parts, batch: int = batch) -> None:
            for part in parts:
                runs[way](part, batch)

        calls: dict[str, Callable[[], Any]] = {way: partial(run, way) for way in runs}
        seconds = interleaved(calls, args.repeats, torch.device('cpu'))
        count = sum(map(len, parts))
        for way, taken in seconds.items():
            gains = [base / own for base, own in zip(seconds['torch, eager'], taken, strict=True)]
            rows.append(
                dict(
                    member=name,
                    way=way,
                    batch=batch,
                    ms=1e3 * statistics.median(taken) / count,
                    lowest=1e3 * min(taken) / count,
                    highest=1e3 * max(taken) / count,
                    times_eager=statistics.median(gains),
                    first_start_s=first[way],
                    next_start_s=second[way],
                    probability_difference=gaps[way],
                )
            )
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--images', type=int, default=32)
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--members', nargs='+', choices=MEMBERS, default=list(MEMBERS))
    parser.add_argument('--ways', nargs='+', help='only these (default: all)')
    parser.add_argument('--quick', action='store_true', help='a few images of 64 px, once: measures nothing')
    args = parser.parse_args()
    keep_freed_memory()
    import tempfile

    rows = []
    with tempfile.TemporaryDirectory() as args.folder:
        if args.quick:
            args.images, args.repeats = 8, 1
        for name in args.members:
            kind, side = MEMBERS[name]
            side = 64 if args.quick else side
            images = load_images(max(64, args.images), [side]).stacked(0)
            rows += measure(name, resnet() if kind == 'resnet' else lite(kind), images, args)
    report(rows, args.json)


if __name__ == '__main__':
    main()
