# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a GPU makes of cascades: throughput, latency, memory, and the share of what the members could do.

    bash benchmarks/speed/gpu.sh work_dirs/gpu

runs all parts in one call of at most nine minutes, with nothing to download. The file is written after each part, and
parts that are in it are not run again, so a call that was cut off goes on.

Members have random weights and images random pixels, since neither changes the time; who goes on is drawn, 20 % of the
images or cells. The limit of a row is what its members take by themselves for what reaches them, each at its best batch
size in the same way of running (eager, CUDA graphs, inductor). With --dry everything is small enough for a processor:
it shows that the parts run, and measures nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmcascade._system.files import write_json
from mmcascade._system.machine import machine
from mmcascade.engine.benchmark.systems import Images, TimedSystem, with_batch_size
from mmcascade.engine.benchmark.timing import latencies, seconds_of, spread
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.models.members.members import build_member
from mmcascade.models.runtimes.batch_sizes import SIZES, best_size, sweep
from mmcascade.routing import RandomPolicy
from mmcascade.routing.units.outcome import Outcome

SCHEMA = 1
DEFERRED = 0.2
LOADER_BATCHES = (64, 256)
#: Options of a stage by the way of running.
WAYS: dict[str, dict[str, Any]] = {
    'eager': {},
    'CUDA graphs': dict(compile=True),
    'inductor': dict(compile='default'),
}
_NORM = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])

Row = dict[str, Any]


class Setting:
    """The device, and how much is run on it."""

    def __init__(self, dry: bool) -> None:
        self.dry = dry
        self.device = torch.device('cpu' if dry else 'cuda')
        self.amp = 'bfloat16' if dry else 'float16'
        self.images = 16 if dry else 2048
        self.loaders = (4, 8) if dry else LOADER_BATCHES
        self.sizes = (1, 2) if dry else SIZES
        self.repeats = 1 if dry else 5

    def side(self, pixels: int) -> int:
        return 64 if self.dry else pixels

    def depth(self, layers: int) -> int:
        return 18 if self.dry else layers

    def ways(self, compiled: bool) -> dict[str, dict[str, Any]]:
        """Ways of running; compilers need minutes on a processor, so that a dry run tries one of them on one pair."""
        kept = ('eager', 'inductor') if compiled else ('eager',)
        return {way: options for way, options in WAYS.items() if not self.dry or way in kept}


def pixels(count: int, height: int, width: int) -> Tensor:
    """Raw images."""
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8)


def timm(name: str) -> nn.Module:
    config = dict(_scope_='mmpretrain', type='TimmClassifier', model_name=name, data_preprocessor=dict(_NORM))
    return build_member(name, config).module


def resnet(depth: int) -> nn.Module:
    config = dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(type='ResNet', depth=depth),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=1000, in_channels=512 if depth < 50 else 2048),
        data_preprocessor=dict(_NORM, to_rgb=True),
    )
    return build_member(f'resnet{depth}', config).module


def deeplab(depth: int) -> nn.Module:
    norm = dict(type='BN')
    config = dict(
        _scope_='mmseg',
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', bgr_to_rgb=True, **_NORM),
        backbone=dict(
            type='ResNetV1c',
            depth=depth,
            dilations=(1, 1, 2, 4),
            strides=(1, 2, 1, 1),
            norm_cfg=norm,
            contract_dilation=True,
        ),
        decode_head=dict(
            type='ASPPHead',
            in_channels=512 if depth < 50 else 2048,
            in_index=3,
            channels=512,
            dilations=(1, 12, 24, 36),
            num_classes=19,
            norm_cfg=norm,
            align_corners=False,
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )
    return build_member(f'deeplab{depth}', config).module


def classifiers(
    setting: Setting, small: nn.Module, large: nn.Module, sides: tuple[int, int], compiled: bool
) -> list[Row]:
    """A pair of classifiers in every way of running, plain and deferred, at every batch size of the loader."""
    views = [pixels(setting.images, setting.side(side), setting.side(side)) for side in sides]
    images = Images(views, [DataSample(metainfo=dict(sample_idx=k)) for k in range(setting.images)])
    members = dict(small=small, large=large)
    rows = []
    for way, options in setting.ways(compiled).items():
        shared = dict(amp=setting.amp, channels_last=True, **options)
        model = WindowCascadeClassifier(
            members,
            stages=[dict(member=name, view=k, **shared) for k, name in enumerate(members)],
            policy=RandomPolicy(rates=[DEFERRED], seed=0),
        ).to(setting.device)
        curves = [
            sweep(stage.forward, view[0], setting.sizes, device=setting.device)
            for stage, view in zip(model.stages, views, strict=True)
        ]
        rows += list(_systems(setting, model, images, curves, dict(way=way)))
        _forget()
    return rows


def segmentors(setting: Setting) -> list[Row]:
    """DeepLabV3 R50 on whole images, R101 on the cells that go on, cells of several images joined."""
    height, width = (64, 128) if setting.dry else (1024, 2048)
    count = 2 if setting.dry else 32
    whole = pixels(count, height, width)
    from mmseg.structures import SegDataSample

    meta = dict(ori_shape=(height, width), img_shape=(height, width))
    samples: list[BaseDataElement] = [SegDataSample(metainfo=dict(meta, sample_idx=k)) for k in range(count)]
    images = Images([list(whole)], samples)
    members = dict(small=deeplab(setting.depth(50)), large=deeplab(setting.depth(101)))
    model = CascadeSegmentor(
        members,
        stages=[dict(member=name, amp=setting.amp, channels_last=True) for name in members],
        grid=dict(cell=height // 2),
        policy=RandomPolicy(rates=[DEFERRED], seed=0),
    ).to(setting.device)
    side = 32 if setting.dry else 512
    sizes = setting.sizes[:2] if setting.dry else (1, 2, 4, 8, 16)
    curves = [
        sweep(model.stages[0].forward, whole[0], sizes, device=setting.device),
        sweep(model.stages[1].forward, pixels(1, side, side)[0], sizes, device=setting.device),
    ]
    alone = sweep(model.stages[1].forward, whole[0], sizes[:2], device=setting.device)
    more = dict(way='eager', larger_ms=1e3 * min(alone.values()))
    return list(_systems(setting, model, images, curves, more, cells=8))


def _systems(
    setting: Setting, model: Any, images: Images, curves: list[dict[int, float]], about: Row, cells: int = 1
) -> Iterator[Row]:
    stages = [with_batch_size(stage, best_size(curve)) for stage, curve in zip(model.stages, curves, strict=True)]
    best = [min(curve.values()) for curve in curves]
    for loader in setting.loaders:
        for deferred in (False, True):
            system = TimedSystem.of(model, stages, model.router.policy, deferred)
            outcome = system.run(images.batches(loader))
            reach = float((outcome.exit_stage > 0).mean()) * cells
            limit = best[0] + reach * best[1]
            if setting.device.type == 'cuda':
                torch.cuda.reset_peak_memory_stats()
            taken = [
                seconds_of(partial(_run, system, images, loader), setting.device) / len(images)
                for _ in range(setting.repeats)
            ]
            single = list(images.batches(1))[: 3 if setting.dry else 50]
            plain = TimedSystem.of(model, stages, model.router.policy, False)
            yield dict(
                about,
                loader_batch=loader,
                deferred=deferred,
                reached=reach,
                images_per_s=spread([1 / seconds for seconds in taken]),
                limit_images_per_s=1 / limit,
                share_of_limit=spread([limit / seconds for seconds in taken]),
                batch_sizes=[stage.batch_size for stage in stages],
                member_ms=[1e3 * seconds for seconds in best],
                latency_ms=latencies([seconds_of(partial(plain.run, [b]), setting.device) for b in single]),
                peak_bytes=torch.cuda.max_memory_allocated() if setting.device.type == 'cuda' else None,
            )


def _run(system: TimedSystem, images: Images, batch: int) -> Outcome:
    return system.run(images.batches(batch))


def graphs(setting: Setting) -> list[Row]:
    """ONNX Runtime's providers for GPUs, where they are installed: one member by itself."""
    import onnxruntime

    from mmcascade.models.runtimes.build import build_runtime
    from mmcascade.models.runtimes.execution import Execution
    from mmcascade.models.runtimes.networks.classifier_network import ClassifierNetwork

    wanted = ('CPUExecutionProvider',) if setting.dry else ('CUDAExecutionProvider', 'TensorrtExecutionProvider')
    there = onnxruntime.get_available_providers()
    row = pixels(1, setting.side(224), setting.side(224))[0]
    rows: list[Row] = []
    for provider in wanted:
        if provider not in there:
            rows.append(dict(provider=provider, reason='this onnxruntime has it not'))
            continue
        options = dict(trt_fp16_enable=True) if provider.startswith('Tensorrt') else {}
        runtime = dict(type='onnxruntime', provider=provider, provider_options=options)
        run = build_runtime(ClassifierNetwork(resnet(setting.depth(50))), Execution(runtime=runtime))  # type: ignore[arg-type]
        curve = sweep(run, row, setting.sizes, device=torch.device('cpu'))
        rows.append(dict(provider=provider, ms={str(size): 1e3 * seconds for size, seconds in curve.items()}))
    return rows


PARTS: dict[str, Callable[[Setting], list[Row]]] = {
    'resnet50 -> resnet152': lambda s: classifiers(s, resnet(s.depth(50)), resnet(s.depth(152)), (224, 224), True),
    'lite0 -> lite2': lambda s: classifiers(
        s, timm('tf_efficientnet_lite0'), timm('tf_efficientnet_lite2'), (224, 260), False
    ),
    'deeplabv3 r50 -> r101, cells': segmentors,
    'onnxruntime on a GPU': graphs,
}


def _forget() -> None:
    gc.collect()
    torch.compiler.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', required=True, help='the file to write, or to go on with')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS))
    parser.add_argument('--seconds', type=float, default=480.0, help='no part begins later than this')
    parser.add_argument('--dry', action='store_true', help='small, on a processor: measures nothing')
    args = parser.parse_args()
    if not args.dry and not torch.cuda.is_available():
        raise SystemExit('error: there is no GPU here; --dry shows on a processor that everything runs')
    path, start = Path(args.json), time.monotonic()
    content: Row = json.loads(path.read_text()) if path.exists() else dict(schema=SCHEMA, dry=args.dry, parts={})
    setting = Setting(args.dry)
    for name in args.parts:
        if name in content['parts']:
            print(f'{name}: is in {path}')
            continue
        if time.monotonic() - start > args.seconds:
            print(f'{name}: no time left; call again to go on')
            continue
        began = time.monotonic()
        rows = PARTS[name](setting)
        content['parts'][name] = dict(machine=machine(), seconds=round(time.monotonic() - began, 1), rows=rows)
        write_json(path, content)
        print(f'{name}: {len(rows)} rows in {time.monotonic() - began:.0f} s', flush=True)
        _forget()


if __name__ == '__main__':
    main()
