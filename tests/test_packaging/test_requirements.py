# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is imported is required."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.test_packaging.required import required


def imported_packages(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or '' for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    packages = {name.partition('.')[0] for name in names} - {'', 'mmcascade', *sys.stdlib_module_names}
    return {IMPORT_NAMES.get(name, name) for name in packages}


# Of distributions whose packages are called otherwise.
IMPORT_NAMES = {
    'cv2': 'opencv-python',
    'fastapi_offline': 'fastapi-offline',
    'PIL': 'pillow',
    'prometheus_client': 'prometheus-client',
    'sklearn': 'scikit-learn',
    'yaml': 'pyyaml',
    **{name: f'onedl-{name}' for name in ('mmcv', 'mmengine', 'mmpretrain')},
    'mmseg': 'onedl-mmsegmentation',
}
# What is looked for when a user asks for it, and whose absence is answered by a message that names it.
ASKED_FOR = {'huggingface_hub', 'pyarrow', 'safetensors', 'timm', 'transformers'}


@pytest.mark.parametrize(
    'parts, extras',
    [
        ('routing evaluation/curves calibration', 'torch'),
        ('runtime', 'runtime openvino'),
        ('serving', 'serve ray'),
        ('.', 'torch onedl onnx openvino serve ray torchmetrics'),
    ],
)
def test_what_is_imported_is_required(parts, extras):
    """Directly, and not by way of another requirement, which may drop it."""
    allowed = {name for part in ('base', *extras.split()) for name in required(part)}
    for folder in parts.split():
        files = list((ROOT / 'mmcascade' / folder).rglob('*.py'))
        assert files, folder
        for file in files:
            assert imported_packages(file) - ASKED_FOR <= allowed, file


@pytest.mark.parametrize('extra', ['onedl', 'openmmlab'])
def test_both_sets_of_libraries_bring_what_is_imported(extra):
    names = {name.removeprefix('onedl-').replace('mmcv-lite', 'mmcv') for name in required(extra)}
    assert {'mmengine', 'mmcv', 'mmpretrain', 'mmsegmentation', 'torchvision'} <= names
