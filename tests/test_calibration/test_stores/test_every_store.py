# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What every store of outputs has to do. A new one adds an entry to LAYOUTS, and so does another way to lay one out."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmcascade._system.files import remove_folder
from mmcascade.calibration.stores import CellStore, ScoreStore, StoreError, open_store
from mmcascade.calibration.stores.cell_records import CellRecords
from mmcascade.calibration.stores.data_identity import DataIdentity, FileIdentity
from mmcascade.calibration.stores.header import CellHeader, ScoreHeader, StoreHeader
from mmcascade.calibration.stores.store import (
    HEADER,
    PROGRESS,
    OtherStoreError,
    StaleStoreError,
    Store,
    filling,
    holds_cells,
)
from mmcascade.routing import ExitState, StageOutput
from tests.support.families import descendants
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


@pytest.fixture(autouse=True)
def nobody_pulls_the_plug(monkeypatch):
    monkeypatch.setattr(os, 'fsync', lambda number: None)


@pytest.fixture
def public_folder():
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are for nobody else
        os.chmod(folder, 0o755)
        yield Path(folder)


def test_every_store_is_here():
    assert {layout.kind.__name__ for layout in LAYOUTS.values()} == descendants('Store')


@pytest.mark.parametrize('name', LAYOUTS)
class TestStore:
    def test_what_is_written_in_any_batches_comes_back_bit_for_bit(self, name, tmp_path):
        layout = LAYOUTS[name]
        whole = layout.made(tmp_path / 'whole')
        assert_same(layout.held(whole), layout.given(IMAGES))
        expected = bytes_in(whole.folder)
        for number, cuts in enumerate(itertools.product([False, True], repeat=IMAGES - 1)):
            folder = tmp_path / str(number)
            layout.made(folder, filled=0)
            for stop in [k + 1 for k, cut in enumerate(cuts) if cut] + [IMAGES]:
                store = layout.kind.open(folder)  # each batch by a run of its own
                layout.write(store, stop)
                assert (store.filled, store.complete) == (stop, stop == IMAGES)
            assert_same(layout.held(store), layout.given(IMAGES))
            assert bytes_in(folder) == expected
        assert_same(layout.held(layout.kind.open(folder)), layout.given(IMAGES))

    def test_a_kill_at_any_moment_loses_what_was_not_counted_and_nothing_else(self, name, tmp_path, monkeypatch):
        layout = LAYOUTS[name]
        half, expected = layout.made(tmp_path / 'half', filled=2), bytes_in(layout.made(tmp_path / 'whole').folder)
        for moment in itertools.count():
            folder = shutil.copytree(half.folder, tmp_path / str(moment))
            try:
                with at_sync(monkeypatch, moment, Killed()):
                    layout.write(layout.kind.open(folder), 3, seed=9)
                break
            except Killed:
                pass
            after = layout.kind.open(folder)
            assert after.filled == 2
            layout.write(after, IMAGES)
            assert bytes_in(folder) == expected
        assert moment >= 2
        assert layout.kind.open(folder).filled == 3

    def test_what_lies_beyond_the_count_is_written_over(self, name, tmp_path):
        layout = LAYOUTS[name]
        folder = layout.made(tmp_path / 's', filled=2).folder
        for file in (file for file in folder.iterdir() if file.suffix != '.json'):
            data = file.read_bytes()
            file.write_bytes(data[:-8] + b'\xff' * 8 if file.suffix == '.npy' else data + b'a torn record' * 1000)
        store = layout.kind.open(folder)
        layout.write(store, IMAGES)
        assert bytes_in(folder) == bytes_in(layout.made(tmp_path / 'whole').folder)

    def test_outputs_are_on_disk_before_they_are_counted(self, name, tmp_path, monkeypatch):
        layout = LAYOUTS[name]
        store = layout.made(tmp_path / 's', filled=2)
        before = bytes_in(store.folder)
        with at_sync(monkeypatch, -1, Killed()) as synced:
            layout.write(store, 3)
        after = bytes_in(store.folder)
        assert synced[-1].startswith(f'.{PROGRESS}.')
        changed = {file for file in after if after[file] != before.get(file)} - {PROGRESS}
        assert changed and changed <= set(synced[:-1])

    def test_half_a_store_says_so_and_is_not_read(self, name, tmp_path):
        layout = LAYOUTS[name]
        for filled in range(IMAGES):
            store = layout.made(tmp_path / str(filled), filled)
            assert (store.filled, store.header.size, store.complete) == (filled, IMAGES, False)
            for read in (store.check_complete, lambda store=store: layout.held(store)):
                with pytest.raises(StoreError, match=rf'holds {filled} of 5 \w+; finish it with tools/calibrate.py'):
                    read()

    def test_one_of_no_images_is_complete(self, name, tmp_path):
        layout = LAYOUTS[name]
        layout.made(tmp_path / 's', filled=0, images=0)
        assert layout.kind.open(tmp_path / 's').complete

    def test_the_header_comes_back(self, name, tmp_path):
        layout = LAYOUTS[name]
        header = layout.header(IMAGES)
        written = json.loads(json.dumps(header.to_json()))
        assert type(header).from_json(written) == header and header.size == IMAGES
        store = layout.made(tmp_path / 's', filled=1)
        assert layout.kind.open(store.folder).header == header == store.header
        assert json.loads((store.folder / HEADER).read_text()).items() >= written.items()

    def test_another_cascade_or_other_data_is_named(self, name, tmp_path):
        store = LAYOUTS[name].made(tmp_path / 's')
        here = store.header.identity
        store.check_identity(replace(here))
        for what, change in OTHERS.items():
            other = change(here)
            with pytest.raises(OtherStoreError, match=rf'{store.folder} differs .* in its {what}; delete it') as raised:
                store.check_identity(other)
            assert raised.value.changed == [what] and isinstance(raised.value, StaleStoreError)
            store.check_identity(other, except_for=[what])
        both = OTHERS['members'](OTHERS['data'](here))
        with pytest.raises(OtherStoreError, match='in its members and data; delete it or name another folder'):
            store.check_identity(both)

    def test_the_same_data_elsewhere_is_noted_where_one_may_write(self, name, tmp_path, monkeypatch):
        layout = LAYOUTS[name]
        then, now = (DataIdentity(IMAGES, place, FileIdentity(place, 'same')) for place in ('here', 'there'))
        header = layout.header(IMAGES)
        old = layout.kind.create(tmp_path / 's', replace(header, identity=replace(header.identity, data=then)))
        layout.write(old, IMAGES)
        here = replace(header.identity, data=now)
        old.check_identity(here)
        before = bytes_in(old.folder)
        with at_sync(monkeypatch, 0, OSError(errno.EROFS, 'Read-only file system')):
            old.identify(here, 'moved')
        assert bytes_in(old.folder) == before
        layout.kind.open(old.folder).identify(here, 'moved')
        again = layout.kind.open(old.folder)
        assert again.header.identity.data.traces() == now.traces() and again.header.config == 'moved'
        assert_same(layout.held(again), layout.given(IMAGES))

    def test_kinds_are_told_apart(self, name, tmp_path):
        layout = LAYOUTS[name]
        store = layout.made(tmp_path / 'there' / 's')
        for other in {each.kind for each in LAYOUTS.values()} - {layout.kind}:
            kinds = f'is a store of {store.header.kind}, expected one of {other.header_type.kind}'
            with pytest.raises(StoreError, match=kinds):
                other.open(store.folder)
        assert type(open_store(store.folder)) is layout.kind and layout.kind.exists(store.folder)
        assert holds_cells(store.folder) == (store.header.kind == 'cells')
        nowhere = tmp_path / 'nowhere'
        assert not layout.kind.exists(nowhere) and not holds_cells(nowhere)
        with pytest.raises(StoreError, match=f'{nowhere} is no score store: it has no store.json$'):
            layout.kind.open(nowhere)
        with pytest.raises(StoreError, match='it has no store.json; in it there is s$'):
            layout.kind.open(tmp_path / 'there')
        header = store.folder / HEADER
        header.write_text(json.dumps(json.loads(header.read_text()) | dict(schema=9)))
        with pytest.raises(StoreError, match='has schema 9, and this version of mmcascade reads up to 2') as raised:
            layout.kind.open(store.folder)
        assert not isinstance(raised.value, StaleStoreError), 'another version can read it'

    def test_of_several_that_are_made_in_one_place_one_is(self, name, tmp_path):
        layout, ends = LAYOUTS[name], []

        def make() -> None:
            try:
                ends.append(layout.kind.create(tmp_path / 's', layout.header(IMAGES)))
            except StoreError as error:
                ends.append(str(error))

        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (store,) = (end for end in ends if not isinstance(end, str))
        refused = f'the {store.name} {tmp_path / "s"} cannot be made: there is a folder with something else in it'
        assert all(end.startswith(refused) for end in ends if end is not store)
        layout.write(store, IMAGES)
        make()
        assert ends[-1].startswith(refused)
        assert_same(layout.held(layout.kind.open(store.folder)), layout.given(IMAGES))
        assert [entry.name for entry in tmp_path.iterdir()] == ['s']

    def test_one_at_a_time_fills_it(self, name, tmp_path):
        folder = LAYOUTS[name].made(tmp_path / 's', filled=2).folder
        with filling(folder):
            busy = rf'\(pid {os.getpid()} on .*\) is filling the store {folder}; wait'
            with pytest.raises(StoreError, match=busy), filling(folder):
                pass
            assert LAYOUTS[name].kind.open(folder).filled == 2  # who reads need not wait
        with filling(folder):
            pass

    @pytest.mark.skipif(os.geteuid() != 0, reason='becomes another user')
    def test_who_may_only_read_reads_and_who_may_not_is_told_so(self, name, public_folder):
        layout = LAYOUTS[name]
        store = layout.made(public_folder / 's')
        with another_user():
            assert_same(layout.held(layout.kind.open(store.folder)), layout.given(IMAGES))
            with filling(store.folder):  # there is nothing to write, so nothing to lock
                pass
        for file in store.folder.iterdir():
            mode = file.stat().st_mode
            file.chmod(0)
            with another_user(), pytest.raises(StoreError, match='cannot be read: Permission denied') as raised:
                layout.held(layout.kind.open(store.folder))
            assert not isinstance(raised.value, StaleStoreError) and 'delete' not in str(raised.value)
            file.chmod(mode)

    def test_reading_changes_nothing_whatever_a_reader_does_with_it(self, name, tmp_path):
        layout = LAYOUTS[name]
        folder = layout.made(tmp_path / 's').folder
        before, times = bytes_in(folder), {file: file.stat().st_mtime_ns for file in folder.iterdir()}
        held = layout.held(layout.kind.open(folder))
        for values in held.values():
            values[...] = 1
        assert bytes_in(folder) == before and {file: file.stat().st_mtime_ns for file in folder.iterdir()} == times
        assert_same(layout.held(layout.kind.open(folder)), layout.given(IMAGES))

    def test_who_reads_it_while_it_is_deleted_keeps_it(self, name, tmp_path):
        layout = LAYOUTS[name]
        store = layout.made(tmp_path / 's')
        held = layout.held(store)
        remove_folder(store.folder)
        assert not list(tmp_path.iterdir())
        assert_same(held, layout.given(IMAGES))

    def test_a_flipped_bit_of_any_output_is_seen(self, name, tmp_path):
        layout = LAYOUTS[name]
        store = layout.made(tmp_path / 's')
        for file in (file for file in store.folder.iterdir() if file.suffix != '.json'):
            data = file.read_bytes()
            start = len(data) - store._files[file.name].read().nbytes if file.suffix == '.npy' else 0
            for at in {start, (start + len(data)) // 2, len(data) - 1}:
                file.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
                with pytest.raises(StaleStoreError, match=rf'{store.folder} is damaged: {file.name} is not what was'):
                    layout.kind.open(store.folder)
            file.write_bytes(data)
        assert_same(layout.held(layout.kind.open(store.folder)), layout.given(IMAGES))

    def test_a_file_that_is_cut_or_gone_or_another_is_named(self, name, tmp_path):
        layout = LAYOUTS[name]
        folder = layout.made(tmp_path / 's').folder
        for file in sorted(folder.iterdir()):
            data = file.read_bytes()
            for harmed in (data[:-3], data[: len(data) // 2], b'', b'[]', None):
                file.unlink()
                if harmed is not None:
                    file.write_bytes(harmed)
                with pytest.raises(StoreError, match=file.name) as raised:
                    layout.kind.open(folder)
                assert str(folder) in str(raised.value)
                if file.name != HEADER:
                    assert is_damage(raised.value)
            file.write_bytes(data)

    def test_an_edited_header_is_seen(self, name, tmp_path):
        layout = LAYOUTS[name]
        folder = layout.made(tmp_path / 's').folder
        written = json.loads((folder / HEADER).read_text())
        for key in sorted(written.keys() - {'schema'}):
            (folder / HEADER).write_text(json.dumps(written | {key: 'x'}))
            with pytest.raises(StaleStoreError, match=f'is damaged: {HEADER} was edited since it was written; delete'):
                layout.kind.open(folder)

    def test_a_count_that_cannot_be_is_seen(self, name, tmp_path):
        layout = LAYOUTS[name]
        folder = layout.made(tmp_path / 's').folder
        written = json.loads((folder / PROGRESS).read_text())
        for key, value in itertools.product(written, (-1, 99, 2.0, None, '5', True, [5], {'a': 1})):
            (folder / PROGRESS).write_text(json.dumps(written | {key: value}))
            with pytest.raises(StaleStoreError, match='is damaged: '):
                layout.kind.open(folder)

    def test_a_full_disk_is_one_line_and_takes_nothing_away(self, name, tmp_path, monkeypatch):
        layout, full = LAYOUTS[name], OSError(errno.ENOSPC, 'No space left on device')
        with at_sync(monkeypatch, 0, full), pytest.raises(StoreError, match='s cannot be made: No space left on dev'):
            layout.kind.create(tmp_path / 's', layout.header(IMAGES))
        assert not list(tmp_path.iterdir())
        store = layout.made(tmp_path / 's', filled=2)
        for moment in (0, 1):
            with at_sync(monkeypatch, moment, full), pytest.raises(StoreError, match='s cannot be written: No space'):
                layout.write(store, 3, seed=9)
            assert layout.kind.open(store.folder).filled == store.filled == 2
        layout.write(store, IMAGES)  # somebody made room
        assert_same(layout.held(layout.kind.open(store.folder)), layout.given(IMAGES))

    def test_what_does_not_fit_is_refused_and_leaves_no_trace(self, name, tmp_path):
        layout = LAYOUTS[name]
        store = layout.made(tmp_path / 's', filled=2)
        before = bytes_in(store.folder)
        for write, says in layout.wrong:
            with pytest.raises(ValueError, match=says):
                write(store)
            assert bytes_in(store.folder) == before and store.filled == 2
        layout.write(store, IMAGES)
        assert_same(layout.held(layout.kind.open(store.folder)), layout.given(IMAGES))
        with pytest.raises(ValueError, match=r'holds 5 of 5 \w+ and takes 0 more, got 1$'):
            layout.write(store, IMAGES + 1)
        assert_same(layout.held(layout.kind.open(store.folder)), layout.given(IMAGES))


@contextmanager
def another_user() -> Iterator[None]:
    before = os.geteuid()
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def is_damage(error: StoreError) -> bool:
    """Whether it is that of a store that only a new one can replace."""
    return isinstance(error, StaleStoreError) and ' is damaged: ' in str(error) and 'delete it and fill' in str(error)


def fill_slowly(layout: Layout, folder: Path) -> None:
    """Go on with a store over and over, one image at a time, as slowly as members would."""
    store = layout.kind.open(folder)
    while not store.complete:
        layout.write(store, store.filled + 1)
        time.sleep(0.002)


@pytest.mark.parametrize('name', ['scores', 'cells'])
def test_kill_9_loses_and_doubles_nothing(name, tmp_path):
    layout, context = LAYOUTS[name], get_context('fork')
    for round in range(8):
        folder = tmp_path / str(round)
        layout.made(folder, filled=0)
        process = context.Process(target=fill_slowly, args=(layout, folder))
        process.start()
        time.sleep(0.002 * round)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode in (-signal.SIGKILL, 0)
        store = layout.kind.open(folder)
        layout.write(store, IMAGES)
        assert_same(layout.held(layout.kind.open(folder)), layout.given(IMAGES))
