# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Scores of all stages on a data set, kept on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmcascade._system.files import write_json
from mmcascade.routing import CachedStage, StageOutput
from mmcascade.routing.fusion.stage_output import at_least_float32

SCHEMA = 1
HEADER, PROGRESS = 'store.json', 'progress.json'


class StoreError(ValueError):
    """A score store that cannot be used here."""


class ScoreStore:
    """A folder with one memory-mapped array of scores per stage.

    It is filled from unit 0 on. Rows are on disk before the number of filled units is, so that a kill at any moment
    loses at most the rows of the last batch, which are then written again.

    Attributes:
        header: the store's own description, see :meth:`create`.
        filled: how many units are complete.
        scores: per stage float32 ``(units, classes)``.
        features: per stage float32 ``(units, D)``, or None where none are kept.
        macs: float64 ``(units, stages)``, multiply-adds.
        labels: int64 ``(units)``, -1 where there is none.

    Example:
        >>> import tempfile, torch
        >>> from mmcascade.routing import StageOutput
        >>> folder = tempfile.mkdtemp()
        >>> identity = dict(members={}, data=dict(units=3, fingerprint='f'), preprocessing='p')
        >>> store = ScoreStore.create(folder, identity, units=3, classes=2, kinds=['logits'])
        >>> store.write([StageOutput(logits=torch.zeros(3, 2), macs=5.0)], [0, 1, 1])
        >>> store = ScoreStore.open(folder)
        >>> store.complete, store.scores[0].shape, store.labels.tolist()
        (True, (3, 2), [0, 1, 1])
    """

    def __init__(self, folder: Path, header: Mapping[str, Any]) -> None:
        self.folder = folder
        self.header = dict(header)
        units, stages = header['units'], len(header['kinds'])
        self.scores = [self._map(f'stage{k}.npy', (units, header['classes']), np.float32) for k in range(stages)]
        self.features = [
            None if width is None else self._map(f'features{k}.npy', (units, width), np.float32)
            for k, width in enumerate(header.get('features') or [None] * stages)
        ]
        self.macs = self._map('macs.npy', (units, stages), np.float64)
        self.labels = self._map('labels.npy', (units,), np.int64)
        self.filled: int = json.loads((folder / PROGRESS).read_text())['filled']
        if type(self.filled) is not int or not 0 <= self.filled <= units:
            raise ValueError(f'{PROGRESS} says that {self.filled!r} of {units} units are filled')

    @classmethod
    def create(
        cls,
        folder: str | Path,
        identity: Mapping[str, Any],
        units: int,
        classes: int,
        kinds: Sequence[str],
        config: str | None = None,
        features: Sequence[int | None] | None = None,
        sources: Sequence[str] | None = None,
    ) -> ScoreStore:
        """Make an empty store.

        Args:
            folder: where; may exist, its old store is overwritten.
            identity: JSON that says what the scores depend on; a store is refilled only for the same.
            units, classes: size of the data set and of a row.
            kinds: per stage 'logits' or 'probabilities'.
            config: the config that fills it as a Python literal, from which configs of its cascades can be made.
            features: per stage the number of features to keep of a unit, or None; None = of no stage.
            sources: per stage its name, by which confidence functions that were fitted know it.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        header = {
            'schema': SCHEMA,
            'identity': identity,
            'units': units,
            'classes': classes,
            'kinds': list(kinds),
            'config': config,
        }
        if features is not None:
            header['features'] = list(features)
        if sources is not None:
            header['sources'] = list(sources)
        for k in range(len(kinds)):
            _allocate(folder / f'stage{k}.npy', (units, classes), np.float32)
            if features is not None and (width := features[k]) is not None:
                _allocate(folder / f'features{k}.npy', (units, width), np.float32)
        _allocate(folder / 'macs.npy', (units, len(kinds)), np.float64)
        _allocate(folder / 'labels.npy', (units,), np.int64)
        write_json(folder / PROGRESS, {'filled': 0})
        write_json(folder / HEADER, header, allow_nan=True)
        return cls(folder, header)

    @classmethod
    def open(cls, folder: str | Path) -> ScoreStore:
        """Open a store that exists.

        Raises:
            StoreError: if it is missing, damaged or of a newer schema.
        """
        folder, header = Path(folder), read_header(folder)
        try:
            return cls(folder, header)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f'the score store {folder} is damaged: {error}; delete it and fill it again') from error

    @classmethod
    def exists(cls, folder: str | Path) -> bool:
        return (Path(folder) / HEADER).exists()

    @property
    def units(self) -> int:
        return self.header['units']

    @property
    def complete(self) -> bool:
        return self.filled == self.units

    def check_identity(self, identity: Mapping[str, Any]) -> None:
        """Raise StoreError unless the store was made for the same members, data and preprocessing."""
        then, now = self.header['identity'], json.loads(json.dumps(identity))
        changed = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
        if changed:
            raise StoreError(
                f'the score store {self.folder} was filled with another {" and ".join(changed)}; delete '
                'it or name another folder with --store'
            )

    def write(self, outputs: Sequence[StageOutput], labels: np.ndarray) -> None:
        """Add the next units: one output per stage for the same units."""
        start, stop = self.filled, self.filled + len(labels)
        for k, output in enumerate(outputs):
            if (output.logits is not None) != (self.header['kinds'][k] == 'logits'):
                raise StoreError(f'stage {k} was to give {self.header["kinds"][k]}')
            self.scores[k][start:stop] = at_least_float32(output.values).cpu().numpy()
            if (kept := self.features[k]) is not None:
                if output.features is None:
                    raise StoreError(f'stage {k} was to give features')
                kept[start:stop] = at_least_float32(output.features).cpu().numpy()
            self.macs[start:stop, k] = np.asarray(output.macs)
        self.labels[start:stop] = labels
        for array in (*self.scores, *self.features, self.macs, self.labels):
            if array is not None:
                array.flush()
        self.filled = stop
        write_json(self.folder / PROGRESS, {'filled': stop})

    def stages(self) -> list[CachedStage]:
        """The stages, to be replayed by a router.

        Raises:
            StoreError: if the store is not complete.
        """
        if not self.complete:
            raise StoreError(
                f'the score store {self.folder} holds {self.filled} of {self.units} units; finish it with '
                'tools/calibrate.py first'
            )
        names = self.header.get('sources') or [''] * len(self.scores)
        return [
            CachedStage(
                torch.from_numpy(scores),
                is_logits=kind == 'logits',
                macs=torch.from_numpy(np.ascontiguousarray(self.macs[:, k])),
                features=None if features is None else torch.from_numpy(features),
                source=names[k],
            )
            for k, (scores, features, kind) in enumerate(
                zip(self.scores, self.features, self.header['kinds'], strict=True)
            )
        ]

    def _map(self, name: str, shape: tuple[int, ...], dtype: type) -> np.memmap:
        np.load(self.folder / name, mmap_mode='r', allow_pickle=False)  # 'r+' would fill up a truncated file
        array = np.load(self.folder / name, mmap_mode='r+', allow_pickle=False)
        assert isinstance(array, np.memmap)
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f'{name} has shape {array.shape} and type {array.dtype}, expected {shape} and {dtype}')
        return array


def read_header(folder: str | Path, kind: str = 'scores') -> dict[str, Any]:
    """A store's description of itself.

    Args:
        kind: 'scores' of units, or 'cells' of images.

    Raises:
        StoreError: if it is missing, of a newer schema or of the other kind.
    """
    folder = Path(folder)
    try:
        header = json.loads((folder / HEADER).read_text())
        schema = header['schema']
        if type(schema) is not int:
            raise TypeError(f'its schema is a number, got {schema!r}')
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f'{folder} is no score store: {error}') from error
    if schema > SCHEMA:
        raise StoreError(
            f'the score store {folder} has schema {schema}, and this version of mmcascade reads up to '
            f'{SCHEMA}; update mmcascade or fill the store again'
        )
    found = header.get('kind', 'scores')
    if found != kind:
        raise StoreError(
            f'{folder} is a store of {found}, expected one of {kind}: scores are of classifiers, and '
            'cells of segmentors; name the other folder or fill a store of this cascade'
        )
    return header


def _allocate(path: Path, shape: tuple[int, ...], dtype: type) -> None:
    np.lib.format.open_memmap(path, mode='w+', dtype=dtype, shape=shape).flush()
