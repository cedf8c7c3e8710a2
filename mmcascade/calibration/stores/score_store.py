# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Scores of all stages on a data set, kept on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmcascade._system.files import write_json
from mmcascade.calibration.stores.header import ScoreHeader
from mmcascade.calibration.stores.store import PROGRESS, Store, StoreError
from mmcascade.routing import CachedStage, StageOutput
from mmcascade.routing.fusion.stage_output import at_least_float32


class ScoreStore(Store):
    """A folder with one memory-mapped array of scores per stage.

    Attributes:
        header: what the store says of itself.
        filled: how many units are complete.
        scores: per stage float32 ``(units, classes)``.
        features: per stage float32 ``(units, D)``, or None where none are kept.
        macs: float64 ``(units, stages)``, multiply-adds.
        labels: int64 ``(units)``, -1 where there is none.

    Example:
        >>> import tempfile, torch
        >>> from mmcascade.calibration.stores.identity import StageIdentity
        >>> from mmcascade.calibration.stores.store_identity import DataIdentity, StoreIdentity
        >>> from mmcascade.routing import StageOutput
        >>> folder = tempfile.mkdtemp()
        >>> identity = StoreIdentity((StageIdentity('small', 0, 'w'),), 'float32', DataIdentity(3, 'f'), 'p')
        >>> header = ScoreHeader(identity=identity, units=3, classes=2, kinds=['logits'])
        >>> store = ScoreStore.create(folder, header)
        >>> store.write([StageOutput(logits=torch.zeros(3, 2), macs=5.0)], [0, 1, 1])
        >>> store = ScoreStore.open(folder)
        >>> store.complete, store.scores[0].shape, store.labels.tolist()
        (True, (3, 2), [0, 1, 1])
    """

    name = 'score store'
    header_type = ScoreHeader
    _what = 'units'

    header: ScoreHeader

    def __init__(self, folder: Path, header: ScoreHeader) -> None:
        super().__init__(folder, header)
        arrays = {name: self._map(name, *layout) for name, layout in _layout(header).items()}
        self.scores = [arrays[f'stage{k}.npy'] for k in range(header.stages)]
        self.features = [arrays.get(f'features{k}.npy') for k in range(header.stages)]
        self.macs, self.labels = arrays['macs.npy'], arrays['labels.npy']

    @property
    def units(self) -> int:
        """How many units there are."""
        return self.header.units

    @property
    def progress(self) -> dict[str, Any]:
        """What the progress file holds."""
        return {'filled': self.filled}

    def write(self, outputs: Sequence[StageOutput], labels: np.ndarray) -> None:
        """Add the next units: one output per stage for the same units."""
        start, stop = self.filled, self.filled + len(labels)
        for k, output in enumerate(outputs):
            if (output.logits is not None) != (self.header.kinds[k] == 'logits'):
                raise StoreError(f'stage {k} was to give {self.header.kinds[k]}')
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
        self._write_progress()

    def stages(self, temperatures: Sequence[float] | None = None) -> list[CachedStage]:
        """The stages, to be replayed by a router.

        Args:
            temperatures: one per stage; default 1.

        Raises:
            StoreError: if the store is not complete.
        """
        self.check_complete()
        count = self.header.stages
        names = self.header.sources or [''] * count
        temperatures = [1.0] * count if temperatures is None else temperatures
        if len(temperatures) != count:
            raise ValueError(f'{count} stages need {count} temperatures, got {len(temperatures)}')
        return [
            CachedStage(
                torch.from_numpy(scores),
                is_logits=kind == 'logits',
                macs=torch.from_numpy(np.ascontiguousarray(self.macs[:, k])),
                temperature=temperatures[k],
                features=None if features is None else torch.from_numpy(features),
                source=names[k],
            )
            for k, (scores, features, kind) in enumerate(
                zip(self.scores, self.features, self.header.kinds, strict=True)
            )
        ]

    @classmethod
    def _allocate(cls, folder: Path, header: ScoreHeader) -> None:
        for name, (shape, dtype) in _layout(header).items():
            np.lib.format.open_memmap(folder / name, mode='w+', dtype=dtype, shape=shape).flush()
        write_json(folder / PROGRESS, {'filled': 0})

    def _read_progress(self, data: Mapping[str, Any]) -> None:
        self.filled = data['filled']
        if type(self.filled) is not int or not 0 <= self.filled <= self.units:
            raise ValueError(f'{PROGRESS} says that {self.filled!r} of {self.units} units are filled')

    def _map(self, name: str, shape: tuple[int, ...], dtype: type) -> np.memmap:
        np.load(self.folder / name, mmap_mode='r', allow_pickle=False)  # 'r+' would fill up a truncated file
        array = np.load(self.folder / name, mmap_mode='r+', allow_pickle=False)
        assert isinstance(array, np.memmap)
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f'{name} has shape {array.shape} and type {array.dtype}, expected {shape} and {dtype}')
        return array


def _layout(header: ScoreHeader) -> dict[str, tuple[tuple[int, ...], type]]:
    """Shape and type of every array, by the name of its file."""
    units = header.units
    return {
        **{f'stage{k}.npy': ((units, header.classes), np.float32) for k in range(header.stages)},
        **{f'features{k}.npy': ((units, width), np.float32) for k, width in enumerate(header.features or ()) if width},
        'macs.npy': ((units, header.stages), np.float64),
        'labels.npy': ((units,), np.int64),
    }
