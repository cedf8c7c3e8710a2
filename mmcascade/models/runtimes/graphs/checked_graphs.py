# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Graphs of a member that were compared with torch, in one engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from mmcascade.calibration.stores.fingerprints import fingerprint
from mmcascade.models.runtimes.engines.engine import Engine, Session
from mmcascade.models.runtimes.graphs.agreement import TOLERANCES, Difference, sample_images
from mmcascade.models.runtimes.graphs.export import ExportError, export_onnx
from mmcascade.models.runtimes.graphs.fixed_rows import FixedRows, in_chunks
from mmcascade.models.runtimes.graphs.graph_cache import GraphCache
from mmcascade.models.runtimes.graphs.quantise import quantised
from mmcascade.models.runtimes.graphs.subject import Subject

#: Class values of any number of raw images, with the rows of a full batch, if there is such a number.
Opened = Callable[[np.ndarray, int | None], np.ndarray]

_NO_EXPORT = 'no export'
# Images of the calibration split that a quantised graph is compared on, and rows at once while its ranges are taken.
_COMPARED = 32
_AT_ONCE = 8


class GraphError(ValueError):
    """A member that cannot run in a runtime; the message says why, and what can be done.

    Args:
        message: for users.
        reason: what was found, in a few words.
    """

    def __init__(self, message: str, reason: str = '') -> None:
        super().__init__(message)
        self.reason = reason


class CheckedGraphs:
    """Opens the graphs of a member in an engine. What was found out is kept, so that a second start is short.

    Args:
        subject: the member at images of one shape.
        engine: what runs its graphs.
        cache: where graphs are kept.
    """

    def __init__(self, subject: Subject, engine: Engine, cache: GraphCache) -> None:
        self.subject, self.engine, self.cache = subject, engine, cache

    def open(self) -> Opened:
        """Class values of any number of raw images.

        Raises:
            GraphError: if there is no graph, or it is too far from torch.
        """
        try:
            path = self._checked(None, self.subject.row_counts)
        except GraphError as error:
            if not error.reason:
                raise
            reason = error.reason
        else:
            if self.engine.fixes_batch:
                return FixedRows(lambda rows: self._opened(path, rows, None))
            session = self._opened(path, None, None)
            return lambda images, full: session(images)
        fixed = FixedRows(lambda rows: self._opened(self._checked(rows, [rows]), rows, rows))
        fixed(sample_images(1, self.subject.shape, self.subject.dtype).numpy())
        _log(
            f'the graph of {self.subject} holds only at a fixed number of rows ({reason}): in {self.engine} it runs '
            'full batches, or single rows, with padding where rows are missing'
        )
        return fixed

    def _opened(self, path: Path, rows: int | None, written_for: int | None) -> Session:
        """A checked graph in the engine's own precision.

        Args:
            path: the graph in float32.
            rows: how many it will get; None = any number.
            written_for: how many it takes; None = any number.
        """
        if self.engine.exact:
            return self.engine.open(path, rows)
        if self.engine.images is not None:
            path = self._in_int8(path, written_for or _AT_ONCE)
        session = self.engine.open(path, rows)
        name = f'{self.engine.arithmetic} {self.engine.version()}'
        found = self._fact(path.stem, name)
        if found is None:
            found = self._compared(session, self._own_images(), [rows or 1])
            self.cache.note(path.stem, {name: asdict(found)})
        self._admit(found, self.engine.precision)
        return session

    def _checked(self, rows: int | None, counts: Sequence[int]) -> Path:
        """The graph that takes so many rows, once it agrees with torch in float32."""
        key = self.subject.key(rows)
        exact = replace(self.engine, precision='float32', images=None)
        name = f'{exact.arithmetic} {exact.version()}'
        with self.cache.lock(key):
            if (failed := self.cache.fact(key, _NO_EXPORT)) is not None:
                raise self._no_export(failed)
            path = self.cache.get(key, partial(self._write, key, rows))
            found = self._fact(key, name)
            if found is None:
                found = self._compared(exact.open(path, rows), self._images(), counts)
                self.cache.note(key, {name: asdict(found)})
        self._admit(found, 'float32')
        return path

    def _write(self, key: str, rows: int | None) -> bytes:
        missing = [name for name in ('onnx', 'onnxscript') if find_spec(name) is None]
        if missing:
            raise GraphError(f'graphs are written with {missing}: pip install "mmcascade[{self.engine.extra}]"')
        subject = self.subject
        _log(f'writing {subject} as a graph for {rows or "any number of"} row(s), once: seconds to a minute ...')
        try:
            return export_onnx(subject.network, subject.shape, subject.dtype, rows)
        except ExportError as error:
            self.cache.note(key, {_NO_EXPORT: str(error)})
            raise self._no_export(str(error)) from error

    def _no_export(self, reason: str) -> GraphError:
        return GraphError(f'{self.subject} cannot be written as a graph ({reason}). {_WAY_OUT}', reason)

    def _in_int8(self, path: Path, rows: int) -> Path:
        images = self.engine.calibration_images(self.subject.shape)
        key = fingerprint(x.encode() for x in (path.stem, self.engine.arithmetic, self.engine.version()))
        with self.cache.lock(key):
            return self.cache.get(key, partial(quantised, path, images, rows))

    def _images(self) -> Tensor:
        return sample_images(max(self.subject.row_counts), self.subject.shape, self.subject.dtype)

    def _own_images(self) -> Tensor:
        """Images to compare other precisions on: those of the stage where there are some."""
        if self.engine.images is None:
            return self._images()
        return torch.from_numpy(self.engine.calibration_images(self.subject.shape)[:_COMPARED])

    def _compared(self, session: Session, images: Tensor, counts: Sequence[int]) -> Difference:
        """All the images, so many rows at once, against torch."""
        reference = self.subject.reference(images)
        found = Difference.worst(
            self.subject.difference(torch.from_numpy(in_chunks(session, images.numpy(), rows)), reference)
            for rows in counts
        )
        rows = ', '.join(map(str, counts))
        _log(f'{self.subject} in {self.engine.name} differs from torch by at most {found}; rows at a time: {rows}')
        return found

    def _admit(self, found: Difference, precision: str) -> None:
        if not TOLERANCES[precision].admits(found):
            raise GraphError(
                f'{self.subject} computes something else as a graph: in {self.engine.name} ({precision}) it differs '
                f'from torch by {found}. {_WAY_OUT}',
                f'at other numbers its values are off by {found.largest:.1g} standard deviations',
            )

    def _fact(self, key: str, name: str) -> Difference | None:
        fact = self.cache.fact(key, name)
        return None if fact is None else Difference(**fact)


_WAY_OUT = (
    "Leave runtime= out of its stage (or give it runtime='torch'), take another member, or, where its code is yours, "
    'write it in what torch.onnx knows'
)


def _log(text: str) -> None:
    print_log(text, logger='current')
