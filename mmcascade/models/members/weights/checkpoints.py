# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Reading checkpoints without running code that the file brings along.

A ``.pth`` file is a pickle, and an ordinary pickle can run any program when it is read. Here it is
read with ``weights_only=True``. What an mmengine Runner puts beside the weights (the message hub's
history buffers, numpy scalars, a schedule's function) is replaced by inert objects, see
:mod:`mmcascade.models.members.weights.stand_ins`, so the checkpoints of one's own training load as they are.
Anything else is refused by name.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from mmcascade.models.members.weights.archives import archive_fault
from mmcascade.models.members.weights.stand_ins import stand_ins

_RGB = 3
_SHOWN = 80
_Noted = TypeVar('_Noted')


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used: damaged, of another format, or of another model."""


class DamagedCheckpointError(CheckpointError):
    """A file that cannot be read as a checkpoint, so that no use of it is possible."""


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint that asks for more than weights and is refused for it."""


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one model.

    Args:
        state_dict: tensors on the CPU, by name.
        meta: what the training noted about itself (class names, config); empty if nothing.
        path: the file it was read from.
    """

    state_dict: dict[str, Tensor]
    meta: Mapping[str, Any]
    path: Path

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The class names that the training noted down, or None."""
        return self._noted('classes', _as_names)

    @property
    def palette(self) -> tuple[tuple[int, ...], ...] | None:
        """The colours of the classes that the training noted down as lists of numbers, or None."""
        return self._noted('palette', _as_colours)

    def _noted(self, key: str, read: Callable[[Sequence[Any]], _Noted | None]) -> _Noted | None:
        dataset_meta = self.meta.get('dataset_meta')
        noted = dataset_meta if isinstance(dataset_meta, Mapping) else {}
        # MMPretrain 1.x, early mmengine, and MMClassification 0.x
        for values in (noted.get(key), noted.get(key.upper()), self.meta.get(key.upper())):
            if isinstance(values, (list, tuple)) and values:
                return read(values)
        return None


def _as_names(values: Sequence[Any]) -> tuple[str, ...] | None:
    # Only what is short: nested tuples of a few kilobytes can be gigabytes of text.
    if all(isinstance(name, str) or type(name) is int and abs(name) < 1 << 63 for name in values):
        return tuple(str(name) for name in values)
    return None


def _as_colours(values: Sequence[Any]) -> tuple[tuple[int, ...], ...] | None:
    # Arrays were replaced by inert objects, and some data sets have None for a colour.
    rows = [row for row in values if isinstance(row, (list, tuple)) and len(row) == _RGB]
    if len(rows) == len(values) and all(isinstance(part, (int, float)) and 0 <= part < 256 for r in rows for part in r):
        return tuple(tuple(int(part) for part in row) for row in rows)
    return None


def load_weights(path: str | PathLike[str], allow_unsafe: bool = False) -> Checkpoint:
    """Reads a checkpoint onto the CPU.

    Understood are ``{'state_dict': ...}`` (mmengine, mmcv), ``{'model': ...}`` (timm, DeiT), a bare
    state dict, and safetensors. Of a Runner's file with an EMA hook, ``state_dict`` holds the
    averaged weights, and these are taken, as the libraries do.

    Args:
        path: a ``.pth`` (or otherwise named) file of ``torch.save``, or a ``.safetensors`` file.
        allow_unsafe: read even a file that brings code along, *and run that code*. Only for files
            whose author you trust. Globals that the process itself has admitted with
            ``torch.serialization.add_safe_globals`` are accepted without it.

    Raises:
        FileNotFoundError: there is no such file.
        UnsafeCheckpointError: the file asks for more than weights. Nothing of it has been run.
        DamagedCheckpointError: the file is cut off, changed, or of another format.
        CheckpointError: the file holds no weights.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        beside = sorted(file.name for file in path.parent.glob('*.pth'))[:5]
        raise FileNotFoundError(
            f"checkpoint '{path}' is not a file"
            + (f"; in '{path.parent}' there is {', '.join(beside)}" if beside else '')
        )
    return _checkpoint(_read(path, allow_unsafe), path)


def _read(path: Path, allow_unsafe: bool) -> Any:
    try:
        if path.suffix == '.safetensors':
            from safetensors.torch import load_file

            return load_file(path)
        if fault := archive_fault(path):
            raise _unreadable(path, fault)
        with stand_ins():
            return torch.load(path, map_location='cpu', weights_only=True)
    except (PermissionError, ImportError, CheckpointError):
        raise
    except Exception as error:  # damaged bytes can fail anywhere inside the reader
        refusal = _refused(error, path)
        if allow_unsafe:
            return _read_unsafe(path, refusal)
        if refusal is None:
            raise _unreadable(path, _reason(error)) from error
        raise UnsafeCheckpointError(
            f"checkpoint '{path}' is refused: it holds {refusal}, which is more than weights and "
            'could run any program when it is read. Nothing of it has been run. If you trust where '
            'the file comes from, say so for this member with unsafe_checkpoint=True; else get its '
            "weights alone, saved by torch.save({'state_dict': model.state_dict()}, ...)"
        ) from None


def _read_unsafe(path: Path, refusal: str | None) -> Any:
    warnings.warn(
        f"checkpoint '{path}' is read without protection, as asked for by "
        f'unsafe_checkpoint=True; it holds {refusal or "another format"}',
        stacklevel=4,
    )
    try:
        return torch.load(path, map_location='cpu', weights_only=False)
    except PermissionError:
        raise
    except Exception as error:
        raise _unreadable(path, _reason(error)) from error


def _unreadable(path: Path, reason: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(
        f"checkpoint '{path}' ({path.stat().st_size} bytes) cannot be read: it is cut off, "
        f'damaged, or no file of torch.save or safetensors. Copy or download it again. ({reason})'
    )


def _reason(error: Exception) -> str:
    # Before the colon, torch advises to read the file without protection.
    message = str(error).rpartition('WeightsUnpickler error: ')[2].strip().partition('\n')[0]
    return f'{type(error).__name__}: {message}'


def _refused(error: Exception, path: Path) -> str | None:
    """What torch's restricted reader would not admit, or None if the file is just unreadable."""
    if not isinstance(error, pickle.UnpicklingError):
        return None
    message = str(error)
    if found := re.search(r'GLOBAL (\S+)', message):
        return f"'{found[1]}'"
    if 'Unsupported operand' in message and zipfile.is_zipfile(path):
        return 'a pickle of another protocol than the 2 of torch.save'
    found = re.search(r'(Trying to call reduce|Can only (create|build|SETITEM|append)).*', message)
    return f'an object of unknown kind ({found[0]})' if found else None


def _checkpoint(content: Any, path: Path) -> Checkpoint:
    """Finds the weights and what was noted about them."""
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"checkpoint '{path}' holds a {type(content).__name__}, expected a state dict or {{'state_dict': ...}}"
        )
    nested = next((content[key] for key in ('state_dict', 'model') if isinstance(content.get(key), Mapping)), None)
    weights: Any = content if nested is None else nested
    unnamed = sorted({type(key).__name__ for key in weights if not isinstance(key, str)})
    if unnamed:
        raise CheckpointError(
            f"checkpoint '{path}' holds no state dict: it names tensors by {', '.join(unnamed)}, expected strings"
        )
    others = [key for key, value in weights.items() if not isinstance(value, Tensor) and not _is_extra(key)]
    if not weights or others:
        raise CheckpointError(
            f"checkpoint '{path}' holds no state dict (a mapping of names to tensors): "
            + (f'{_listed(others)} {"is" if len(others) == 1 else "are"} something else' if others else 'it is empty')
        )
    meta = None if nested is None else content.get('meta')
    return Checkpoint(weights, meta if isinstance(meta, Mapping) else {}, path)


def _is_extra(key: str) -> bool:
    return key.endswith('_extra_state')


def _listed(keys: list[str], limit: int = 5) -> str:
    more = f' and {len(keys) - limit} more' if len(keys) > limit else ''
    return ', '.join(f"'{key[:_SHOWN]}'" for key in keys[:limit]) + more
