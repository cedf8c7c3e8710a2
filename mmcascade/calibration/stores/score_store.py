# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Scores of all stages on a data set, kept on disk."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from mmcascade._system.files import write_json, written_whole
from mmcascade.calibration.stores import data_identity
from mmcascade.calibration.stores.data_identity import DataIdentity
from mmcascade.calibration.stores.fingerprints import fingerprint
from mmcascade.calibration.stores.header import ScoreHeader
from mmcascade.calibration.stores.identity import StageIdentity
from mmcascade.calibration.stores.row_file import RowFile
from mmcascade.calibration.stores.store import PROGRESS, Store, StoreError
from mmcascade.calibration.stores.store_identity import StoreIdentity
from mmcascade.routing import CachedStage, StageOutput
from mmcascade.routing.fusion.stage_output import at_least_float32

LABELS, SPENT = 'labels.npy', 'spent.npy'
_LABEL_FILE = re.compile(r'labels(-[0-9a-f]{8})?\.npy')


class ScoreStore(Store):
    """A folder with one memory-mapped array of scores per stage.

    Attributes:
        scores: per stage float32 ``(units, classes)``.
        features: per stage float32 ``(units, D)``, or None where none are kept.
        macs: float64 ``(units, stages)``, multiply-adds of each stage after those before it.
        spent: float64 ``(units, stages)``, of the way to an exit that others go on from, without the exit's own layers;
            None where no stage goes on from another.
        labels: int64 ``(units)``, -1 where there is none.

    Example:
        >>> import tempfile, torch
        >>> from mmcascade.calibration.stores.identity import StageIdentity
        >>> from mmcascade.routing import StageOutput
        >>> folder, members = tempfile.mkdtemp(), [StageIdentity('small', view=0, weights='w')]
        >>> _ = ScoreStore.of_outputs(folder, members, [StageOutput(logits=torch.zeros(3, 2), macs=5.0)], [0, 1, 1])
        >>> store = ScoreStore.open(folder)
        >>> store.complete, store.scores[0].shape, store.labels.tolist()
        (True, (3, 2), [0, 1, 1])
    """

    name = 'score store'
    header_type = ScoreHeader
    _what = 'units'
    can_renew = (data_identity.LABELS,)

    header: ScoreHeader
    _checksums: dict[str, int]

    def __init__(self, folder: Path, header: ScoreHeader) -> None:
        self._labels = LABELS
        super().__init__(folder, header)
        self._files = _files(folder, header, self._labels)
        for name, file in self._files.items():
            written = file.checksum(self.filled)
            if self._checksums.setdefault(name, written) != written:
                raise ValueError(f'{file.path.name} is not what was written')
        known = self.labels[: self.filled]
        if known.size and not -1 <= int(known.min()) <= int(known.max()) < header.classes:
            raise ValueError(f'labels are -1 to {header.classes - 1}, got {int(known.min())} to {int(known.max())}')

    @classmethod
    def of_outputs(
        cls,
        folder: str | Path,
        stages: Sequence[StageIdentity],
        outputs: Sequence[StageOutput],
        labels: ArrayLike,
        precision: str = 'float32',
        trunks: Sequence[int | None] | None = None,
    ) -> ScoreStore:
        """A complete store of what stages gave, wherever that was computed.

        Args:
            folder: where; if it exists, it is empty.
            stages: what the stages are, in order.
            outputs: one per stage, of all units in the same order.
            labels: int ``(units)``, -1 where there is none.
            precision: of the members' arithmetic.
            trunks: per stage a number that the exits of one network have in common; their outputs have states, which
                say what was spent on the way.

        Raises:
            StoreError: if there is something in the folder, or a label is no class.
        """
        labels = np.asarray(labels, np.int64)
        values = outputs[0].values.cpu().contiguous().numpy()
        data = DataIdentity(len(labels), fingerprint([values.tobytes(), labels.tobytes()]))
        header = ScoreHeader(
            identity=StoreIdentity(tuple(stages), precision, data, 'in Python'),
            units=len(labels),
            classes=values.shape[1],
            kinds=['probabilities' if output.logits is None else 'logits' for output in outputs],
            trunks=None if trunks is None or not any(trunk is not None for trunk in trunks) else list(trunks),
        )
        store = cls.create(folder, header)
        store.write(outputs, labels)
        return store

    @property
    def scores(self) -> list[np.memmap]:
        """Per stage float32 ``(units, classes)``."""
        return [self._files[f'stage{k}.npy'].read() for k in range(self.header.stages)]

    @property
    def features(self) -> list[np.memmap | None]:
        """Per stage float32 ``(units, D)``, or None."""
        files = [self._files.get(f'features{k}.npy') for k in range(self.header.stages)]
        return [None if file is None else file.read() for file in files]

    @property
    def macs(self) -> np.memmap:
        """Multiply-adds, float64 ``(units, stages)``."""
        return self._files['macs.npy'].read()

    @property
    def spent(self) -> np.memmap | None:
        """Multiply-adds of the way to each exit, float64 ``(units, stages)``, or None."""
        return self._files[SPENT].read() if SPENT in self._files else None

    @property
    def labels(self) -> np.memmap:
        """Classes, int64 ``(units)``."""
        return self._files[LABELS].read()

    @property
    def units(self) -> int:
        """How many units there are."""
        return self.header.units

    @property
    def progress(self) -> dict[str, Any]:
        """What the progress file holds."""
        other = {} if self._labels == LABELS else {'labels': self._labels}
        return {'filled': self.filled, 'checksums': self._checksums, **other}

    def write(self, outputs: Sequence[StageOutput], labels: np.ndarray) -> None:
        """Add the next units: one output per stage for the same units.

        Raises:
            StoreError: if there are more than are missing, a stage gives something else than before, a label is no
                class, or the disk is full. The store is then as it was.
        """
        labels = np.asarray(labels)
        start, stop = self.filled, self.filled + len(labels)
        self._check_room(len(labels))
        self._check_labels(labels)
        if len(outputs) != self.header.stages:
            raise StoreError(f'there are {self.header.stages} stages, got outputs of {len(outputs)}')
        rows: dict[str, np.ndarray] = {LABELS: labels}
        macs, spent = (np.zeros((stop - start, self.header.stages)) for _ in range(2))
        for k, output in enumerate(outputs):
            if (output.logits is not None) != (self.header.kinds[k] == 'logits'):
                raise StoreError(f'stage {k} was to give {self.header.kinds[k]}')
            rows[f'stage{k}.npy'] = at_least_float32(output.values).cpu().numpy()
            if f'features{k}.npy' in self._files:
                if output.features is None:
                    raise StoreError(f'stage {k} was to give features')
                rows[f'features{k}.npy'] = at_least_float32(output.features).cpu().numpy()
            macs[:, k] = np.asarray(output.macs)
            if output.state is not None:
                spent[:, k] = np.asarray(output.state.spent)
        rows['macs.npy'], rows[SPENT] = macs, spent
        for name, file in self._files.items():
            if rows[name].shape != (expected := (len(labels), *file.shape[1:])):
                raise StoreError(f'{name} takes rows of shape {expected}, got {rows[name].shape}')
        with self._writing():
            checksums = {
                name: file.write(start, rows[name], self._checksums[name]) for name, file in self._files.items()
            }
            self._count(filled=stop, _checksums=checksums)

    def relabel(self, labels: np.ndarray) -> None:
        """Put other labels in place of those of the filled units; the scores stay.

        Raises:
            StoreError: if a label is no class, or the disk is full.
        """
        if len(labels) != self.filled:
            raise StoreError(f'{self.filled} units are filled, got {len(labels)} labels')
        self._check_labels(labels)
        name = f'labels-{zlib.crc32(np.ascontiguousarray(labels).tobytes()):08x}.npy'
        # A file of its own, so that whoever reads the store meanwhile has the old labels or the new ones.
        whole = np.full(self.units, 0, np.int64)
        whole[: self.filled] = labels
        with self._writing():
            with written_whole(self.folder / name, 'wb') as file:
                np.save(file, whole, allow_pickle=False)
            files = _files(self.folder, self.header, name)
            checksums = self._checksums | {LABELS: files[LABELS].checksum(self.filled)}
            self._count(_labels=name, _files=files, _checksums=checksums)

    def _check_labels(self, labels: np.ndarray) -> None:
        if len(labels) and not -1 <= int(np.min(labels)) <= int(np.max(labels)) < self.header.classes:
            raise StoreError(
                f'labels are 0 to {self.header.classes - 1}, or -1 where there is none, got {int(np.min(labels))} to '
                f'{int(np.max(labels))}'
            )

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
        whole, spent = self._from_the_input(), self.spent
        trunks = self.header.trunks or [None] * count
        return [
            CachedStage(
                torch.from_numpy(scores),
                is_logits=kind == 'logits',
                macs=torch.from_numpy(whole[:, k].copy()),
                temperature=temperatures[k],
                features=None if features is None else torch.from_numpy(features),
                source=names[k],
                trunk=None if trunks[k] is None else (str(self.folder), trunks[k]),
                exit=self.header.identity.stages[k].exit or 0,
                spent=None if spent is None or trunks[k] is None else torch.from_numpy(spent[:, k].copy()),
            )
            for k, (scores, features, kind) in enumerate(
                zip(self.scores, self.features, self.header.kinds, strict=True)
            )
        ]

    def _from_the_input(self) -> np.ndarray:
        """Multiply-adds of each stage run from its input, ``(units, stages)``."""
        whole, spent, trunks = np.array(self.macs), self.spent, self.header.trunks
        if spent is None or trunks is None:
            return whole
        for k, trunk in enumerate(trunks):
            before = [j for j in range(k) if trunk is not None and trunks[j] == trunk]
            if before:
                whole[:, k] += spent[:, before[-1]]
        return whole

    @classmethod
    def _allocate(cls, folder: Path, header: ScoreHeader) -> None:
        files = _files(folder, header, LABELS)
        for file in files.values():
            file.allocate()
        write_json(folder / PROGRESS, {'filled': 0, 'checksums': dict.fromkeys(files, 0)})

    def _read_progress(self, data: Mapping[str, Any]) -> None:
        self.filled = data['filled']
        if type(self.filled) is not int or not 0 <= self.filled <= self.units:
            raise ValueError(f'{PROGRESS} says that {self.filled!r} of {self.units} units are filled')
        self._labels = data.get('labels', LABELS)
        if not isinstance(self._labels, str) or not _LABEL_FILE.fullmatch(self._labels):
            raise ValueError(f'{PROGRESS} names no file of labels, but {self._labels!r}')
        checksums = data.get('checksums', {})  # version 0.1 wrote none
        if not isinstance(checksums, dict) or not all(type(value) is int for value in checksums.values()):
            raise ValueError(f'{PROGRESS} has no checksums, but {checksums!r}')
        if checksums and checksums.keys() != _layout(self.header).keys():
            raise ValueError(f'{PROGRESS} has checksums of {sorted(checksums)}')
        self._checksums = dict(checksums)


def _layout(header: ScoreHeader) -> dict[str, tuple[tuple[int, ...], type]]:
    """Shape and type of every array, by the name of its file."""
    units = header.units
    return {
        **{f'stage{k}.npy': ((units, header.classes), np.float32) for k in range(header.stages)},
        **{f'features{k}.npy': ((units, width), np.float32) for k, width in enumerate(header.features or ()) if width},
        'macs.npy': ((units, header.stages), np.float64),
        **({} if header.trunks is None else {SPENT: ((units, header.stages), np.float64)}),
        LABELS: ((units,), np.int64),
    }


def _files(folder: Path, header: ScoreHeader, labels: str) -> dict[str, RowFile]:
    """Every array by its name; the labels may lie in a file of another name."""
    return {
        name: RowFile(folder / (labels if name == LABELS else name), shape, dtype)
        for name, (shape, dtype) in _layout(header).items()
    }
