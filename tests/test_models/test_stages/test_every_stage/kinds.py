# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A stage of every kind with a tiny member. A new kind adds a line to KINDS."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from mmpretrain.models.heads import LinearClsHead
from torch import Tensor, nn

from mmcascade.apis.plain_exit_stage import PlainExitStage, exit_stages
from mmcascade.apis.plain_stage import PlainStage
from mmcascade.models.cells.grid import Grid
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.models.parts.cascade_parts import build_stages
from mmcascade.models.parts.segmentor_parts import build_segmentor_stages, cell_confidence
from mmcascade.models.runtimes.compiled_runtime import CompiledRuntime
from mmcascade.models.runtimes.graph_runtime import GraphRuntime
from mmcascade.models.runtimes.networks.class_outputs import class_output
from mmcascade.models.runtimes.networks.features import feature_output
from mmcascade.models.stages.choosing_stage import ChoosingStage
from mmcascade.models.stages.classifier_stage import ClassifierStage
from mmcascade.models.stages.exit_stage import ExitStage
from mmcascade.models.stages.segmentor_stage import SegmentorStage
from mmcascade.routing import CachedStage, ViewRows
from tests.support.members import tiny_models, tiny_segmentors
from tests.support.members.tiny_clips import clips, tiny_clips
from tests.support.members.tiny_exits import TinyExits
from tests.test_models.test_stages.test_class_outputs import Sharpened
from tests.test_models.test_stages.test_every_stage.cases import Case, run

#: Which of these options a stage takes.
ALL, SOME, NONE = frozenset({'macs', 'auto', 'runtime'}), frozenset({'auto', 'runtime'}), frozenset[str]()
BOTH = dict(margin=4, stride=4, join='rectangles', fallback='image', rows=[(0, 1), range(6), (5,)])

#: Members that no test changes.
member_of = functools.cache(tiny_models.tiny)
segmentor_of = functools.cache(tiny_segmentors.tiny)


class SharpenedHead(Sharpened, LinearClsHead):
    """Named, so that it can be pickled."""


def sharpened() -> nn.Module:
    """A classifier whose predictions are not the softmax of its scores, so that it gives probabilities."""
    module = tiny_models.tiny('resnet')
    head: Any = module.head
    head.__class__ = SharpenedHead
    return module


class Plain(nn.Module):
    """Neither a preprocessor nor anything of a library."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, 2)
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head((self.conv(images.float() / 64).relu()).mean((2, 3)))


def views(count: int = 6, sizes: Sequence[int] = (32,)) -> list[ViewRows]:
    """Images as sources of one or two."""
    whole = [tiny_models.images(count, size) for size in sizes]
    return [ViewRows([view[start : start + 2].clone() for view in whole]) for start in range(0, count, 2)]


def classifier(module: Any = 'resnet', sources: Any = None, scores: Any = class_output, **options: Any) -> Case:
    module = member_of(module) if isinstance(module, str) else module()
    (stage,) = build_stages(nn.ModuleDict(dict(a=module)), [dict(member='a', **options)], scores)
    return Case(stage, sources or views(), 5, module)


class Uncompiled(CompiledRuntime):
    """All of it but the compiler."""

    def _run_compiled(self, x: Tensor) -> Tensor:
        return self.network.values(x)


def in_runtime(runtime: str = '', **options: Any) -> Case:
    """A classifier run by something else: a graph, or torch.compile without the compiler."""
    if runtime:
        pytest.importorskip('onnxscript')
    how = dict(runtime=runtime) if runtime else dict(compile=True)
    case, torch_only = classifier(**how, **options), classifier(**options)
    if not runtime:
        case.stage.runtime.__class__ = Uncompiled
    case.macs = run(torch_only.stage, torch_only.batch()).macs
    return case


def of_clips(**options: Any) -> Case:
    whole = clips()
    if options.get('layout') == 'NCTHW':
        whole = whole.transpose(1, 2).contiguous()
    case = classifier(tiny_clips, [ViewRows([part]) for part in whole.split(2)], **options)
    return replace(case, classes=4)


def at_exit(exits: Sequence[int], waits_with: str = 'state', **options: Any) -> Case:
    module = TinyExits()
    stages = [dict(member='a', exit=exit, **options) for exit in exits]
    for number, stage in enumerate(stages[1:]):
        stage.update(continues=number, waits_with=waits_with)
    *before, stage = build_stages(nn.ModuleDict(dict(a=module)), stages)
    return Case(stage, views(), 5, module, before)


def segmentor(
    kind: str = 'fcn',
    size: tuple[int, int] = (64, 96),
    margin: int = 0,
    stride: int = 1,
    flip: str | None = None,
    rows: Sequence[Sequence[int]] | None = None,
    runtime: str | None = None,
    **options: Any,
) -> Case:
    module = segmentor_of(kind)
    grid, confidence = Grid(size, (32, 32)), cell_confidence(dict(stride=stride))
    sources = [
        TiledImage(tiny_segmentors.image(*size, seed=seed), grid, flip)
        for seed in range(2 if rows is None else len(rows))
    ]

    def built(**more: Any) -> Any:
        stages = [dict(member='a'), dict(member='a', **options, **more)]
        return build_segmentor_stages(nn.ModuleDict(dict(a=module)), stages, (32, 32), margin, confidence)[1]

    case = Case(built(), sources, tiny_segmentors.CLASSES, module, rows=rows)
    if runtime:
        pytest.importorskip('onnxscript')
        macs = run(case.stage, case.batch()).macs
        case = replace(case, stage=built(runtime=runtime), macs=macs)
    return case


def plain(exit: int | None = None) -> Case:
    module = Plain() if exit is None else TinyExits()
    stages = exit_stages('a', module, 0)
    before, stage = stages[: exit or 0], stages[exit or 0]
    return Case(stage, views(), 5, module, before)


def stored(exits: bool = False) -> Case:
    generator = torch.Generator().manual_seed(0)
    values, macs, spent = (torch.rand(6, n, generator=generator, dtype=torch.double) for n in (5, 1, 1))
    macs, spent = 10 + macs[:, 0], spent[:, 0]
    if not exits:
        return Case(CachedStage(values, macs=macs, source='a', features=values[:, :2]), views(), 5, macs=macs.numpy())
    first, second = (CachedStage(values, macs=macs, source='a', trunk='net', exit=exit, spent=spent) for exit in (0, 1))
    return Case(second, views(), 5, before=[first], macs=(macs - spent).numpy())


@dataclass(frozen=True)
class Kind:
    """A kind of stage.

    Args:
        stage: its class.
        build: makes one, with more options.
        takes: which of the options of :data:`ALL`.
        tolerance: by how much scores may depend on who is beside a unit: rounding, in the type of its arithmetic.
        slow: whether it takes long to make.
    """

    stage: type
    build: Callable[..., Case]
    takes: frozenset[str]
    tolerance: float
    slow: bool


def kind(
    stage: type,
    build: Callable[..., Case],
    *args: Any,
    takes: frozenset[str] = ALL,
    tolerance: float = 1e-4,
    slow: bool = False,
    **options: Any,
) -> Kind:
    return Kind(stage, functools.partial(build, *args, **options), takes, tolerance, slow)


KINDS = {
    'view': kind(ClassifierStage, classifier),
    'second view': kind(ClassifierStage, classifier, 'vit', views(sizes=(16, 32)), view=1),
    'resized and mirrored': kind(ClassifierStage, classifier, resize=24, flip=True),
    'bfloat16': kind(ClassifierStage, classifier, amp='bfloat16', tolerance=0.1),
    'channels last': kind(
        ClassifierStage, classifier, functools.partial(tiny_models.tiny, 'resnet'), channels_last=True
    ),
    'probabilities': kind(ClassifierStage, classifier, sharpened),
    'features': kind(ClassifierStage, classifier, scores=feature_output),
    'torch module': kind(ClassifierStage, classifier, Plain),
    'frames of clips': kind(ClassifierStage, of_clips, frames=2),
    'clips with channels first': kind(ClassifierStage, of_clips, layout='NCTHW', part=(1, 2)),
    'compiled': kind(ClassifierStage, in_runtime),
    'onnxruntime': kind(ClassifierStage, in_runtime, 'onnxruntime', slow=True),
    'openvino': kind(ClassifierStage, in_runtime, 'openvino', slow=True),
    'exit': kind(ExitStage, at_exit, [1], takes=NONE),
    'exit that goes on': kind(ExitStage, at_exit, [0, 1], takes=NONE),
    'exit after one left out': kind(ExitStage, at_exit, [0, 1, 3], takes=NONE),
    'exit that waits with its input': kind(ExitStage, at_exit, [0, 2], 'input', resize=24, takes=NONE),
    'image': kind(SegmentorStage, segmentor, 'segformer', on='image'),
    'image of a padded member': kind(SegmentorStage, segmentor, 'padded', on='image', scale=0.5),
    'image in windows': kind(SegmentorStage, segmentor, 'slide_padded', (48, 64), on='image'),
    'image mirrored': kind(SegmentorStage, segmentor, 'corners', on='image', flip='horizontal', stride=4),
    'cell': kind(SegmentorStage, segmentor),
    'cell with a margin': kind(SegmentorStage, segmentor, 'pooled', (50, 70), margin=4),
    'cell thinned': kind(SegmentorStage, segmentor, margin=4, stride=3, scale=0.75, flip='vertical'),
    'rectangles': kind(ChoosingStage, segmentor, rows=[(0, 1, 5), range(6)], takes=SOME, margin=4, join='rectangles'),
    'cells or image': kind(ChoosingStage, segmentor, rows=[(0,), range(6)], takes=SOME, margin=8, fallback='image'),
    'rectangles or image': kind(ChoosingStage, segmentor, takes=SOME, slow=True, **BOTH),
    'cells in onnxruntime': kind(SegmentorStage, segmentor, margin=4, runtime='onnxruntime', slow=True),
    'images in openvino': kind(SegmentorStage, segmentor, on='image', runtime='openvino', slow=True),
    'module of the API': kind(PlainStage, plain, takes=NONE),
    'first exit of the API': kind(PlainExitStage, plain, 0, takes=NONE),
    'later exit of the API': kind(PlainExitStage, plain, 2, takes=NONE),
    'stored': kind(CachedStage, stored, takes=NONE),
    'stored exit': kind(CachedStage, stored, exits=True, takes=NONE),
}
NAMES = [pytest.param(name, marks=pytest.mark.slow) if kind.slow else name for name, kind in KINDS.items()]


def new(name: str, takes: str | None = None, **options: Any) -> Case:
    """Another stage of a kind, with more options."""
    if takes is not None and takes not in KINDS[name].takes:
        pytest.skip(f'takes no {takes}=')
    return KINDS[name].build(**options)


def in_torch(case: Case) -> Case:
    """A copy, with a member of its own."""
    if case.module is None or isinstance(getattr(case.stage, 'runtime', None), GraphRuntime):
        pytest.skip('torch runs no member')
    return copy.deepcopy(case)
