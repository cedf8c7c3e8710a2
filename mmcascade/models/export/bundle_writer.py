# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Writing a bundle, and proof that it decides as the cascade does."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmcascade import __version__
from mmcascade._system.files import folder_written_whole
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.cascade_model import CascadeModel
from mmcascade.models.export.card import card
from mmcascade.models.export.graphs.exit_graphs import ExitStageGraph, exit_graph
from mmcascade.models.export.graphs.stage_graphs import StageGraph, stage_graph
from mmcascade.models.export.policies import maps_json, policy_json
from mmcascade.models.export.reports import ExportReport
from mmcascade.models.stages.classifier_stage import ClassifierStage
from mmcascade.models.stages.exit_stage import ExitStage
from mmcascade.routing import CONFIDENCES, CascadeRouter
from mmcascade.routing.units.sources import ViewRows
from mmcascade.runtime import Bundle, BundleError
from mmcascade.runtime.bundle import Decision
from mmcascade.runtime.description.fields import Fields
from mmcascade.runtime.description.manifest import NAME
from mmcascade.runtime.description.samples import DECISIONS, SAMPLES
from mmcascade.runtime.preprocessing.images import read_image
from mmcascade.runtime.preprocessing.step import Pixels
from mmcascade.runtime.preprocessing.views import View

#: How far probabilities of the bundle may be from those of torch.
TOLERANCE = 1e-4
#: Samples that are copied into a bundle, and how large each may be, in bytes.
SAMPLE_COUNT, SAMPLE_BYTES = 8, 1 << 20
#: How far from every bound the scores of a sample are, so that other processors decide alike.
SAMPLE_MARGIN = 1e-3
_CHUNK = 32


def export_bundle(
    model: WindowCascadeClassifier,
    views: Sequence[Mapping[str, Any]],
    images: Sequence[Path],
    folder: Path,
    title: str = 'cascade',
    guarantee: Mapping[str, Any] | None = None,
) -> ExportReport:
    """Write a cascade as a bundle, and compare its decisions with the cascade's.

    Args:
        model: a cascade with weights and an exit policy.
        views: what its stages see, as data (:mod:`mmcascade.runtime.preprocessing.views`).
        images: files that it is checked on, best those that it was calibrated on; from 1.
        folder: to write; it must not exist, or be empty.
        title: the cascade's name, for its card.
        guarantee: what the calibration certified, as data.

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
    manifest = _manifest(model, views, blank, list(zip(graphs, names, strict=True)), classes, guarantee)
    with folder_written_whole(folder) as part:
        for name, graph in zip(names, graphs, strict=True):
            (part / name).write_bytes(graph.model)
        (part / NAME).write_text(json.dumps(manifest, indent=1))
        report, manifest['expected'], samples = _checked(Bundle(part), model, router, built, images, graphs, names)
        (part / NAME).write_text(json.dumps(manifest, indent=1))
        _write_samples(part, samples)
        Bundle(part).check()
        (part / 'README.md').write_text(card(manifest, title, report.sentences()))
    return report


def check_empty(folder: Path) -> None:
    """Raise FileExistsError if there is something in a folder."""
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f'{folder} is not empty; a bundle is written into a folder of its own')


def plain_name(member: str, place: int) -> str:
    """A member's name as that of a file."""
    return re.sub(r'[^A-Za-z0-9_-]+', '-', member).strip('-') or f'member{place}'


def _graphs(model: WindowCascadeClassifier, shapes: Sequence[tuple[int, ...]], classes: int) -> list[StageGraph]:
    """One graph per stage; stages that would have the same share it."""
    made: dict[Any, StageGraph] = {}
    graphs = []
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
    guarantee: Mapping[str, Any] | None,
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
        'views': [dict(view) for view in views],
        'stages': stages,
        'confidence': model.confidence.name,
        **decision_fields(model, guarantee),
    }


def decision_fields(model: CascadeModel, guarantee: Mapping[str, Any] | None) -> dict[str, Any]:
    """What cascade.json says of a cascade of either task: classes, how it decides, and what it was made of."""
    assert model.router is not None  # export has called ready()
    return {
        'classes': None if model.classes is None else list(model.classes),
        'fusion': model.fusion,
        'policy': policy_json(model.router.policy),
        'maps': maps_json(model.router.maps),
        'accept': model.accept,
        'guarantee': None if guarantee is None else dict(guarantee),
        'calibration': {stage.source: stage.weights for stage in model.identity().stages},
        'versions': {'mmcascade': __version__, 'torch': str(torch.__version__)},
    }


Samples = list[tuple[Path, Decision]]


@torch.no_grad()
def _checked(
    bundle: Bundle,
    model: WindowCascadeClassifier,
    router: CascadeRouter,
    views: Sequence[View],
    images: Sequence[Path],
    graphs: Sequence[StageGraph],
    names: Sequence[str],
) -> tuple[ExportReport, dict[str, Any], Samples]:
    """Compare bundle and cascade image by image."""
    largest, others = 0.0, 0
    exits: list[int] = []
    accepted: list[bool | None] = []
    samples: Samples = []
    for start in range(0, len(images), _CHUNK):
        files = images[start : start + _CHUNK]
        pixels = [read_image(file) for file in files]
        routed = router.route([_stacked(view, pixels) for view in views])
        assert routed is not None  # no chunk is empty
        outcome = routed.cpu()
        decisions = bundle.decide(pixels)
        for row, (file, decision) in enumerate(zip(files, decisions, strict=True)):
            same = int(outcome.exit_stage[row]) == decision.exit_stage
            if same:
                gap = np.abs(outcome.probs[row].numpy() - decision.probabilities).max()
                largest = max(largest, float(gap))
            same &= model.accept is None or (float(outcome.confidence[row]) >= model.accept) == decision.accepted
            others += not same
            if not same and decision.margin > TOLERANCE:
                raise BundleError(
                    f'the bundle decides otherwise on {file}: it leaves after stage {decision.exit_stage} with '
                    f'confidence {decision.confidence:.6f}, and torch after stage {int(outcome.exit_stage[row])} with '
                    f'{float(outcome.confidence[row]):.6f}, which lies on no bound'
                )
            if same and decision.margin > SAMPLE_MARGIN and file.stat().st_size <= SAMPLE_BYTES:
                samples.append((file, decision))
        exits += [decision.exit_stage for decision in decisions]
        accepted += [decision.accepted for decision in decisions]
    if largest > TOLERANCE:
        raise BundleError(f'probabilities of the bundle are off by {largest:.1e}, more than {TOLERANCE:g}')
    reached = tuple(float(np.mean(np.array(exits) > gap)) for gap in range(len(model.stages) - 1))
    share = None if model.accept is None else float(np.mean([bool(yes) for yes in accepted]))
    fixed = {stage.member for stage, graph in zip(model.stages, graphs, strict=True) if graph.batch is not None}
    report = ExportReport(
        len(images), largest, others, reached, share, tuple(dict.fromkeys(names)), tuple(sorted(fixed))
    )
    expected = {'units': len(images), 'reached': list(reached), 'accepted': share}
    return report, expected, _spread(samples)


def _stacked(view: View, pixels: Sequence[Pixels]) -> torch.Tensor:
    seen = [view(image) for image in pixels]
    if len({image.shape for image in seen}) > 1:
        sizes = sorted({f'{image.shape[1]} x {image.shape[2]}' for image in seen})
        raise ValueError(
            f'a view gives images of several sizes ({", ".join(sizes)}), and a graph takes one; end the pipeline with '
            'a fixed size (CenterCrop, or Resize without keep_ratio)'
        )
    return torch.from_numpy(np.stack(seen))


def _spread(samples: Samples) -> Samples:
    """A few samples, of every exit as many as there are."""
    by_exit: dict[int, Samples] = {}
    for sample in samples:
        by_exit.setdefault(sample[1].exit_stage, []).append(sample)
    chosen: Samples = []
    while len(chosen) < SAMPLE_COUNT and any(by_exit.values()):
        for rest in by_exit.values():
            if rest and len(chosen) < SAMPLE_COUNT:
                chosen.append(rest.pop(0))
    return chosen


def _write_samples(folder: Path, samples: Samples) -> None:
    (folder / SAMPLES).mkdir()
    entries = []
    for index, (file, decision) in enumerate(samples):
        name = f'{index}{file.suffix.lower()}'
        shutil.copyfile(file, folder / SAMPLES / name)
        entries.append({'file': name, **decision.to_json()})
    (folder / SAMPLES / DECISIONS).write_text(json.dumps(entries, indent=1))
