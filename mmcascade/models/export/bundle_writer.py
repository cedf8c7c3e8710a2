# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Writing a bundle, and proof that it decides as the cascade does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mmcascade import __version__
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.cascade_model import CascadeModel
from mmcascade.models.export.bundle_folder import Samples, check_empty, write_bundle
from mmcascade.models.export.checking.decisions import checked_decisions
from mmcascade.models.export.checking.reports import ExportReport
from mmcascade.models.export.graphs.exit_graphs import ExitStageGraph, exit_graph
from mmcascade.models.export.graphs.stage_graphs import StageGraph, stage_graph
from mmcascade.models.export.policies import maps_json, policy_json
from mmcascade.models.stages.classifier_stage import ClassifierStage
from mmcascade.models.stages.exit_stage import ExitStage
from mmcascade.routing import CONFIDENCES
from mmcascade.routing.units.sources import ViewRows
from mmcascade.runtime import Bundle
from mmcascade.runtime.fields import Fields
from mmcascade.runtime.preprocessing.images import read_image
from mmcascade.runtime.preprocessing.views import View


def export_bundle(
    model: WindowCascadeClassifier,
    views: Sequence[Mapping[str, Any]],
    images: Sequence[Path],
    folder: Path,
    title: str = 'cascade',
    calibration: Calibration | None = None,
) -> ExportReport:
    """Write a cascade as a bundle, and compare its decisions with the cascade's.

    Args:
        model: a cascade with weights and an exit policy.
        views: what its stages see, as data (:mod:`mmcascade.runtime.preprocessing.views`).
        images: files that it is checked on, best those that it was calibrated on; from 1.
        folder: to write; it must not exist, or be empty.
        title: the cascade's name, for its card.
        calibration: what its figures and its promise are; the decisions are those of the model.

    Raises:
        ValueError: if the cascade holds what a bundle cannot hold, or its views differ in size between images.
        ExportError: if a member cannot be written as a graph.
        BundleError: if the bundle decides otherwise than the cascade.
    """
    check_empty(folder)
    if model.confidence not in CONFIDENCES.values():
        raise ValueError(
            f'confidence {model.confidence.name!r} is fitted on features, which a bundle does not hold; use one of '
            f'{sorted(CONFIDENCES)}'
        )
    built = [View.read(Fields(dict(view), f'view {index}')) for index, view in enumerate(views)]
    shapes = [view(read_image(images[0])).shape for view in built]
    blank = ViewRows([torch.zeros(1, *shape, dtype=torch.uint8) for shape in shapes])
    router = model.ready([blank])
    routed = router.route(blank)
    assert routed is not None  # it has an image
    classes = int(routed.probs.shape[1])
    graphs = _graphs(model, shapes, classes)
    names = _file_names(model, graphs)
    seen = [dict(view) | {'size': list(shape[1:])} for view, shape in zip(views, shapes, strict=True)]
    manifest = _manifest(model, seen, blank, list(zip(graphs, names, strict=True)), classes, calibration)

    def compared(bundle: Bundle) -> tuple[ExportReport, Samples]:
        report, samples = checked_decisions(bundle, model, router, built, images)
        return report, [(file, decision.to_json()) for file, decision in samples]

    files = {name: graph.model for name, graph in zip(names, graphs, strict=True)}
    return write_bundle(folder, manifest, files, Bundle, compared, title, calibration)


def plain_name(member: str, place: int) -> str:
    """A member's name as that of a file."""
    return re.sub(r'[^A-Za-z0-9_-]+', '-', member).strip('-') or f'member{place}'


def _graphs(model: WindowCascadeClassifier, shapes: Sequence[tuple[int, ...]], classes: int) -> list[StageGraph]:
    """One graph per stage; stages that would have the same share it."""
    made: dict[Any, StageGraph] = {}
    graphs: list[StageGraph] = []
    for stage in model.stages:
        channels, height, width = shapes[stage.view]
        if isinstance(stage, ExitStage):
            goes_on = any(getattr(later, 'before', None) is stage for later in model.stages)
            graphs.append(exit_graph(stage, (channels, height, width), classes, goes_on))
            continue
        key = (stage.member, stage.view, stage.device_view.resizing, stage.device_view.flip)
        if key not in made:
            made[key] = stage_graph(stage, (channels, height, width), classes)
        graphs.append(made[key])
    return graphs


def _exit_fields(model: WindowCascadeClassifier, stage: ClassifierStage, graph: StageGraph) -> dict[str, Any]:
    """What cascade.json says of an exit: which stage it goes on from, and what it leaves behind."""
    if not isinstance(stage, ExitStage) or not isinstance(graph, ExitStageGraph):
        return {}
    before = next((number for number, other in enumerate(model.stages) if other is stage.before), None)
    return ({} if before is None else {'continues': before}) | (
        {'leaves': [list(shape) for shape in graph.leaves]} if graph.leaves else {}
    )


def _file_names(model: WindowCascadeClassifier, graphs: Sequence[StageGraph]) -> list[str]:
    """A plain file name per stage; stages with one graph share it."""
    names: dict[str, str] = {}
    for index, (stage, graph) in enumerate(zip(model.stages, graphs, strict=True)):
        plain = plain_name(stage.member, index)
        taken = set(names.values())
        name = f'{plain}.onnx' if f'{plain}.onnx' not in taken else f'{plain}-stage{index}.onnx'
        names.setdefault(graph.sha256, name)
    return [names[graph.sha256] for graph in graphs]


def _manifest(
    model: WindowCascadeClassifier,
    views: Sequence[Mapping[str, Any]],
    blank: ViewRows,
    graphs: Sequence[tuple[StageGraph, str]],
    classes: int,
    calibration: Calibration | None,
) -> dict[str, Any]:

    assert model.router is not None  # export_bundle has called ready()
    stages = []
    for stage, (graph, name) in zip(model.stages, graphs, strict=True):
        (probe,) = stage.probes([blank])
        stages.append(
            {
                'member': stage.member,
                'graph': name,
                'sha256': graph.sha256,
                'view': stage.view,
                'output': graph.output,
                'temperature': stage.temperature,
                'macs': float(stage.macs_of(probe)),
            }
            | ({} if graph.batch is None else {'batch': graph.batch})
            | _exit_fields(model, stage, graph)
        )
    return {
        'schema': 1,
        'task': 'classification',
        'num_classes': classes,
        'views': list(views),
        'stages': stages,
        'confidence': model.confidence.name,
        **decision_fields(model, calibration),
    }


def decision_fields(model: CascadeModel, calibration: Calibration | None) -> dict[str, Any]:
    """What cascade.json says of a cascade of either task: classes, how it decides, and what it was made of."""
    assert model.router is not None  # export has called ready()
    promise = None if calibration is None else calibration.guarantee
    return {
        'classes': None if model.classes is None else list(model.classes),
        'fusion': model.fusion,
        'policy': policy_json(model.router.policy),
        'maps': maps_json(model.router.maps),
        'accept': model.accept,
        'guarantee': None if promise is None else promise.to_json(),
        'calibration': {stage.source: stage.weights for stage in model.identity().stages},
        'versions': {'mmcascade': __version__, 'torch': str(torch.__version__)},
    }
