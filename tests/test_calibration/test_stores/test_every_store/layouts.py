# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What every store of outputs is tested with. A new one, or another way to lay one out, adds an entry to LAYOUTS."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmcascade.calibration.stores import CellStore, ScoreStore
from mmcascade.calibration.stores.cell_records import CellRecords
from mmcascade.calibration.stores.data_identity import DataIdentity
from mmcascade.calibration.stores.header import CellHeader, ScoreHeader, StoreHeader
from mmcascade.calibration.stores.store import Store
from mmcascade.routing import ExitState, StageOutput
from tests.support.stored.synthetic_cells import image_records
from tests.support.stored.synthetic_scores import stored_identity, with_fallbacks

IMAGES, CLASSES = 5, 4
Arrays = dict[str, np.ndarray]

#: Something that a store is asked to write and refuses, and what the error says.
Wrong = tuple[Callable[[Any], Any], str]


@dataclass(frozen=True)
class Layout:
    """A kind of store, and what is written into it.

    Args:
        kind: of the store.
        header: of one of so many images.
        write: adds the images from where it is filled up to a number; another seed, other outputs. There is one more
            than the store takes.
        given: all arrays of so many images, as they were written.
        held: the same, as a complete store gives them.
        wrong: what is refused by a store that is filled with two images.
    """

    kind: type[Store]
    header: Callable[[int], StoreHeader]
    write: Callable[..., None]
    given: Callable[..., Arrays]
    held: Callable[[Any], Arrays]
    wrong: tuple[Wrong, ...]

    def made(self, folder: Path, filled: int = IMAGES, images: int = IMAGES) -> Any:
        store = self.kind.create(folder, self.header(images))
        self.write(store, filled)
        return store


def score_outputs(seed: int, features: bool, exits: bool) -> list[StageOutput]:
    """Of two stages, one more image than a store takes; some scores are not finite."""
    generator = torch.Generator().manual_seed(seed)
    logits, others = (3 * torch.randn(IMAGES + 1, CLASSES, generator=generator) for _ in range(2))
    logits[1], logits[2, 0], logits[3, 1] = torch.nan, torch.inf, -0.0
    macs = torch.rand(IMAGES + 1, generator=generator, dtype=torch.float64)
    return [
        StageOutput(
            logits=logits,
            macs=5.0,
            features=others[:, :3] if features else None,
            state=ExitState(0, (), spent=2.5) if exits else None,
        ),
        StageOutput(probabilities=others.softmax(1), macs=macs, state=ExitState(1, (), spent=macs) if exits else None),
    ]


def part_of(output: StageOutput, rows: slice) -> StageOutput:
    def cut(x: Any) -> Any:
        return x[rows] if isinstance(x, torch.Tensor) else x

    state = None if output.state is None else replace(output.state, spent=cut(output.state.spent))
    tensors = {name: cut(getattr(output, name)) for name in ('logits', 'probabilities', 'features', 'macs')}
    return StageOutput(**tensors, state=state)


def labels_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1, CLASSES, IMAGES + 1)


def scores(features: bool = False, exits: bool = False) -> Layout:
    def header(images: int) -> ScoreHeader:
        identity = stored_identity(['a', 'b'], images)
        if exits:
            stages = tuple(replace(stage, exit=k) for k, stage in enumerate(identity.stages))
            identity = replace(identity, stages=stages)
        return ScoreHeader(
            identity=identity,
            units=images,
            classes=CLASSES,
            kinds=['logits', 'probabilities'],
            features=[3, None] if features else None,
            trunks=[0, 0] if exits else None,
            sources=['a on view 0', 'b on view 0'],
            config='model = 1',
        )

    def write(store: ScoreStore, stop: int, seed: int = 0) -> None:
        rows = slice(store.filled, stop)
        store.write([part_of(output, rows) for output in score_outputs(seed, features, exits)], labels_of(seed)[rows])

    def given(images: int, seed: int = 0) -> Arrays:
        first, second = score_outputs(seed, features, exits)
        found = dict(stage0=first.values.numpy(), stage1=second.values.numpy(), labels=labels_of(seed))
        found['macs'] = np.stack([np.full(IMAGES + 1, 5.0), np.asarray(second.macs)], 1)
        if features:
            found['features0'] = first.features.numpy()
        if exits:
            found['spent'] = np.stack([np.full(IMAGES + 1, 2.5), np.asarray(second.macs)], 1)
        return {name: values[:images] for name, values in found.items()}

    def held(store: ScoreStore) -> Arrays:
        first, second = store.stages()
        found = dict(stage0=first.values.numpy(), stage1=second.values.numpy(), labels=store.labels, macs=store.macs)
        assert (first.is_logits, second.is_logits, second.features) == (True, False, None)
        if features:
            found['features0'] = first.features.numpy()
        if exits:
            found['spent'] = store.spent
        return found

    def one(store: ScoreStore, change: Callable[[list[StageOutput]], list[StageOutput]], label: int = 0) -> None:
        outputs = [part_of(output, slice(2, 3)) for output in score_outputs(1, features, exits)]
        store.write(change(outputs), np.array([label]))

    wrong: list[Wrong] = [
        (lambda store: one(store, lambda outputs: outputs[::-1]), 'stage 0 was to give logits'),
        (lambda store: one(store, lambda outputs: outputs[:1]), 'there are 2 stages, got outputs of 1'),
        (lambda store: one(store, lambda outputs: outputs, label=CLASSES), 'labels are 0 to 3, or -1.* got 4 to 4'),
        (lambda store: one(store, lambda outputs: outputs, label=-2), 'got -2 to -2'),
        *(
            (
                lambda store, rows=rows: one(store, lambda outputs: [replace(outputs[0], logits=rows), outputs[1]]),
                rf'stage0.npy takes rows of shape \(1, 4\), got {shape}',
            )
            for rows, shape in (
                (torch.zeros(1, CLASSES + 1), r'\(1, 5\)'),
                (torch.zeros(1, 1), r'\(1, 1\)'),
                (torch.zeros(2, CLASSES), r'\(2, 4\)'),
            )
        ),
    ]
    if features:
        wrong.append(
            (
                lambda store: one(store, lambda outputs: [replace(outputs[0], features=None), outputs[1]]),
                'stage 0 was to give features',
            )
        )
    return Layout(ScoreStore, header, write, given, held, tuple(wrong))


def cells(fusion: str = 'prob', fallbacks: tuple[int, ...] = ()) -> Layout:
    on = ['image', 'cell']

    def header(images: int) -> CellHeader:
        identity = stored_identity(['a', 'b'], images, confidence='max_prob', fusion=fusion, grid='cells of 8 x 8')
        return CellHeader(
            identity=with_fallbacks(identity, fallbacks),
            images=images,
            classes=['road', 'car', 'sky', 'tree'],
            stages=['a', 'b'],
            on=on,
            fusion=fusion,
            confidence='max_prob',
            temperatures=[1.0, 0.5],
            config='model = 1',
        )

    def records(image: int, seed: int) -> CellRecords:
        rng = np.random.default_rng([seed, image])
        return image_records(rng, 1 + 2 * image, CLASSES, on, fusion, odd=0.4, fallbacks=fallbacks)

    def write(store: CellStore, stop: int, seed: int = 0) -> None:
        for image in range(store.filled, stop):
            store.append(image, records(image, seed))

    def given(images: int, seed: int = 0) -> Arrays:
        written = [records(image, seed) for image in range(images)]
        names = [field.name for field in fields(CellRecords)]
        found = {name: np.concatenate([getattr(each, name) for each in written]) for name in names}
        return found | dict(image=np.repeat(np.arange(images), [len(each) for each in written]))

    def one(store: CellStore, image: int = 2, **change: Callable[[np.ndarray], np.ndarray]) -> None:
        made = records(image, 1)
        store.append(image, replace(made, **{name: of(getattr(made, name)) for name, of in change.items()}))

    wrong: tuple[Wrong, ...] = (
        (lambda store: one(store, image=1), 'image 2 of 5 is the next one, got image 1'),
        (lambda store: one(store, image=3), 'image 2 of 5 is the next one, got image 3'),
        (lambda store: one(store, area=lambda x: x * 0), 'records of image 2 do not fit: a cell has no area'),
        (lambda store: one(store, macs=lambda x: x[:, :1]), r'macs has shape \(5, 1\), expected'),
        (lambda store: one(store, label=lambda x: x.astype(float)), 'label has type float64, expected int32'),
    )
    return Layout(CellStore, header, write, given, lambda store: dict(vars(store.cells)), wrong)


LAYOUTS = {
    'scores': scores(),
    'scores and features': scores(features=True),
    'scores of exits': scores(exits=True),
    'cells': cells(),
    'cells of the last stage': cells(fusion='replace'),
    'cells with a fallback': cells(fallbacks=(1,)),
}


#: How the identity of a run may differ from that of a store, and what that is called.
OTHERS: dict[str, Callable[[Any], Any]] = {
    'members': lambda identity: replace(identity, precision='bfloat16'),
    'confidence': lambda identity: replace(identity, confidence='energy'),
    'fusion': lambda identity: replace(identity, fusion='logit'),
    'grid': lambda identity: replace(identity, grid='cells of 4 x 4'),
    'preprocessing': lambda identity: replace(identity, preprocessing='q'),
    'macs': lambda identity: replace(identity, macs=(1.0, 2.0)),
    'temperatures': lambda identity: replace(identity, temperatures=(1.0, 2.0)),
    'kind': lambda identity: replace(identity, features=True),
    'ignore_index': lambda identity: replace(identity, ignore_index=0),
    'data': lambda identity: replace(identity, data=DataIdentity(IMAGES, 'e')),
}


def assert_same(found: Arrays, given: Arrays) -> None:
    assert found.keys() == given.keys()
    for name, values in given.items():
        assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape), name
        assert found[name].tobytes() == np.ascontiguousarray(values).tobytes(), name


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


class Killed(BaseException):
    """Nothing of ours catches it."""


@contextmanager
def at_sync(monkeypatch: pytest.MonkeyPatch, moment: int, error: BaseException) -> Iterator[list[str]]:
    """Inside, an error is raised where bytes reach the disk for the so-manieth time; gives the files that were."""
    synced: list[str] = []

    def fsync(number: int) -> None:
        if len(synced) == moment:
            raise error
        synced.append(Path(os.readlink(f'/proc/self/fd/{number}')).name)

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', fsync)
        yield synced
