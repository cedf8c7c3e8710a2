# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A bundle as a model repository of Triton."""

from __future__ import annotations

import shutil
from pathlib import Path

from mmcascade._system.files import folder_written_whole
from mmcascade.models.export.bundle_folder import check_empty
from mmcascade.runtime import Bundle
from mmcascade.runtime.description.manifest import NAME
from mmcascade.runtime.description.stages import BundleStage
from mmcascade.runtime.running.graphs import Engine, OnnxRuntimeGraph
from mmcascade.runtime.triton import MAX_BATCH, model_name

_MODEL = '''# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Runs in Triton's Python backend, whose environment needs: pip install "mmcascade[runtime]"."""

from mmcascade.runtime.triton import TritonPythonModel  # noqa: F401
'''


def check_repository(task: str, folder: Path) -> None:
    """See, before anything is exported, that a cascade of a task can have a model repository in a folder.

    Raises:
        ValueError: if the task is not classification.
        FileExistsError: if there is something in the folder.
    """
    if task != 'classification':
        raise ValueError(
            'a model repository of Triton holds classifiers, and this cascade labels pixels; leave out --triton, and '
            'serve the bundle with mmcascade serve'
        )
    check_empty(folder)


def write_triton(bundle: Bundle, folder: Path) -> list[str]:
    """Write a bundle as a model repository: one ONNX model per member, and a Python model that asks for them.

    Args:
        bundle: of classifiers, in its folder.
        folder: to write; it must not exist, or be empty.

    Returns:
        The names of the models, the cascade's last.

    Raises:
        ValueError: if exits of a network go on from each other.
    """
    manifest = bundle.manifest
    check_repository(manifest.task, folder)
    if any(stage.continues is not None for stage in manifest.stages):
        raise ValueError(
            'a model repository holds whole networks, and exits of this cascade go on from each other; serve the '
            'bundle with mmcascade serve, or export a cascade of whole networks'
        )
    members = {model_name(stage): stage for stage in manifest.stages}
    cascade = 'cascade' if 'cascade' not in members else 'mmcascade'
    with folder_written_whole(folder) as part:
        for name, stage in members.items():
            (part / name / '1').mkdir(parents=True)
            shutil.copyfile(bundle.folder / stage.graph, part / name / '1' / 'model.onnx')
            (part / name / 'config.pbtxt').write_text(_member_config(name, stage, bundle))
        (part / cascade / '1').mkdir(parents=True)
        (part / cascade / '1' / 'model.py').write_text(_MODEL)
        shutil.copyfile(bundle.folder / NAME, part / cascade / '1' / NAME)
        (part / cascade / 'config.pbtxt').write_text(_cascade_config(cascade, bundle))
    return [*members, cascade]


def _member_config(name: str, stage: BundleStage, bundle: Bundle) -> str:
    classes = bundle.manifest.num_classes
    graph = OnnxRuntimeGraph((bundle.folder / stage.graph).read_bytes(), stage, (classes,), Engine())
    image = [side if isinstance(side, int) else -1 for side in graph.input_shape[1:]]
    # Triton leaves the batch out of dims where it may choose it.
    if stage.batch is None:
        batching, batch = f'max_batch_size: {MAX_BATCH}\ndynamic_batching {{ max_queue_delay_microseconds: 2000 }}', []
    else:
        batching, batch = 'max_batch_size: 0', [stage.batch]
    return (
        f'name: "{name}"\nbackend: "onnxruntime"\n{batching}\n'
        f'input [ {{ name: "images" data_type: TYPE_UINT8 dims: {[*batch, *image]} }} ]\n'
        f'output [ {{ name: "values" data_type: TYPE_FP32 dims: {[*batch, classes]} }} ]\n'
    )


def _cascade_config(name: str, bundle: Bundle) -> str:
    manifest = bundle.manifest
    outputs = [
        ('LABEL', 'INT32', [-1]),
        ('CLASS_NAME', 'STRING', [-1]),
        ('CONFIDENCE', 'FP32', [-1]),
        ('EXIT_STAGE', 'INT32', [-1]),
        ('MACS', 'FP64', [-1]),
        ('PROBABILITIES', 'FP32', [-1, manifest.num_classes]),
    ]
    if manifest.accept is not None:
        outputs.append(('ACCEPTED', 'BOOL', [-1]))
    listed = ',\n'.join(
        f'  {{ name: "{output}" data_type: TYPE_{kind} dims: {dims} }}' for output, kind, dims in outputs
    )
    return (
        f'name: "{name}"\nbackend: "python"\nmax_batch_size: 0\n'
        'input [ { name: "IMAGE" data_type: TYPE_STRING dims: [-1] } ]\n'
        f'output [\n{listed}\n]\n'
    )
