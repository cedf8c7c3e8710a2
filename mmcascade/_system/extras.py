# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Libraries that not everybody has: asked for by name, and a missing one says how to get it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_OPENMMLAB = 'pip install "mmcascade[onedl]" (or "mmcascade[openmmlab]" for the original packages, never both)'

#: By the name that is imported, how a user gets it.
INSTALL = {
    **dict.fromkeys(('mmengine', 'mmcv', 'mmpretrain', 'mmseg', 'cv2', 'matplotlib', 'jinja2'), _OPENMMLAB),
    **dict.fromkeys(
        ('torch', 'scipy', 'sklearn', 'yaml'),
        'pip install "mmcascade[onedl]" (or "mmcascade[torch]" without the libraries of OpenMMLab)',
    ),
    'rich': 'pip install rich',
    'timm': 'pip install "mmcascade[demo]", or timm alone',
    'transformers': 'pip install transformers',
    **dict.fromkeys(('onnx', 'onnxscript', 'onnxruntime'), 'pip install "mmcascade[onnx]"'),
    'openvino': 'pip install "mmcascade[openvino]"',
    'torchvision': 'pip install torchvision',
    'torchmetrics': 'pip install "mmcascade[torchmetrics]", or torchmetrics alone',
    'tensorboard': 'pip install "mmcascade[tensorboard]", or tensorboard alone',
    'ray': 'pip install "mmcascade[ray]"',
    'pyarrow': 'pip install "mmcascade[parquet]", or pyarrow alone',
    **dict.fromkeys(
        ('fastapi', 'fastapi_offline', 'uvicorn', 'prometheus_client', 'starlette', 'pydantic', 'anyio', 'multipart'),
        'pip install "mmcascade[serve]"',
    ),
}


class MissingLibraryError(ImportError):
    """A library is missing that this part of mmcascade needs; the message says how to install it."""


@contextmanager
def needed_by(what: str) -> Iterator[None]:
    """Imports inside of it say, where a library of :data:`INSTALL` is missing, who needs it and how to get it.

    Args:
        what: who needs it, as the subject of the message, such as ``'mmcascade.models'``.

    Raises:
        MissingLibraryError: in place of a ModuleNotFoundError about such a library. One that is there and fails while
            it is imported raises what it raises: installing it again would not help.

    Example:
        >>> with needed_by('this example'):
        ...     import torchvision
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or '').partition('.')[0]
        if package not in INSTALL:
            raise
        raise MissingLibraryError(
            f'{what} needs {package}, which is not installed: {INSTALL[package]}', name=error.name
        ) from error


def require(library: str, what: str) -> ModuleType:
    """Import a library, as :func:`needed_by` does.

    Args:
        library: as it is imported, such as ``'mmengine'``.
        what: who needs it.

    Example:
        >>> require('torchvision', 'this example').__name__
        'torchvision'
    """
    with needed_by(what):
        return importlib.import_module(library)


def install_hint(library: str) -> str:
    """How to get a library, as the end of a sentence; empty where no extra brings it."""
    return f'; if it is not installed: {INSTALL[library]}' if library in INSTALL else ''
