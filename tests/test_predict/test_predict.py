# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A table of decisions: one row per image, whatever happens."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from mmcascade.engine.predict.deciders.decider import Decider, decision_rows
from mmcascade.engine.predict.inputs import Place, count_items, items, places, read_places
from mmcascade.engine.predict.journal import Journal
from mmcascade.engine.predict.predict import predict
from mmcascade.engine.predict.request import PredictRequest
from mmcascade.runtime import Decision, Failure
from tests.support.full_disk import full_after

pytestmark = pytest.mark.slow


class Lengths(Decider):
    """Decides by the length of a file; an empty one is broken."""

    stages, classes, accepts, fingerprint = 2, ('even', 'odd'), True, 'lengths'

    def __init__(self, seconds: float = 0) -> None:
        self.seconds = seconds
        self.seen: list[str] = []
        self.units: list[int] = []

    def rows(self, request):
        return decision_rows(self, request)

    def decide(self, images, first_unit=0):
        time.sleep(self.seconds)
        self.seen += [str(image) for image in images]
        self.units.append(first_unit)
        return [self.decision(image) for image in images]

    @staticmethod
    def decision(image):
        size = len(image if isinstance(image, bytes) else image.read_bytes())
        if not size:
            return Failure(f'{image} is empty')
        label, score = size % 2, 1 / size
        odd = np.array([1 - label, label], np.float32)
        return Decision(label, ('even', 'odd')[label], score, score > 0.1, label, 5.0, odd)


def write_files(folder: Path, n: int) -> None:
    for index in range(n):
        file = folder / f'{index % 3}' / f'{index:04d}.png'
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b'x' * (index % 23))


def rows_of(path: Path) -> list[dict]:
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


def test_each_image_has_a_row(tmp_path):
    write_files(tmp_path / 'in', 30)
    tally = predict(PredictRequest((str(tmp_path / 'in'),), tmp_path / 'out.csv', 1, tmp_path / 'review', 7), Lengths())
    rows = rows_of(tmp_path / 'out.csv')
    assert [row['path'] for row in rows] == sorted(str(path) for path in (tmp_path / 'in').rglob('*.png'))
    assert list(rows[0]) == [
        'path', 'class_name', 'label', 'confidence', 'accepted', 'exit_stage', 'macs', 'top1',
        'top1_probability', 'error',
    ]  # fmt: skip
    by_name = {Path(row['path']).stem: row for row in rows}
    assert by_name['0003'] | {'path': ''} == dict(
        path='', class_name='odd', label='1', confidence=repr(1 / 3), accepted='true', exit_stage='1', macs='5.0',
        error='', top1='odd', top1_probability='1.0',
    )  # fmt: skip
    assert by_name['0023']['error'].endswith('0023.png is empty') and by_name['0023']['label'] == ''
    assert (tally.images, tally.errors, tally.accepted) == (30, 2, 15)
    links = {link.resolve().stem for link in (tmp_path / 'review').iterdir()}
    assert links == {name for name, row in by_name.items() if row['accepted'] == 'false'}
    assert not list(tmp_path.glob('.*'))  # nothing is left beside it


def test_json_lines_have_kinds(tmp_path):
    write_files(tmp_path, 3)
    predict(PredictRequest((str(tmp_path),), tmp_path / 'out.jsonl'), Lengths())
    first, second, _ = map(json.loads, (tmp_path / 'out.jsonl').read_text().splitlines())
    assert first['error'] and first['accepted'] is None and first['label'] is None
    assert (second['accepted'], second['label'], second['macs']) == (True, 1, 5.0)


def killed_runs(request: PredictRequest, kills: int, seed: int) -> int:
    """Run in processes that are killed at random moments, until one gets to the end; how many were killed."""
    generator = random.Random(seed)
    for number in range(10 * kills):
        child = os.fork()
        if not child:
            try:
                predict(request, Lengths(0.002))
            finally:
                os._exit(0)
        if number < kills:
            time.sleep(generator.uniform(0, 0.03))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or request.out.exists():
            return number
    raise AssertionError('no run came to its end')


def test_kills_lose_and_double_no_row(tmp_path):
    write_files(tmp_path / 'in', 600)
    request = PredictRequest((str(tmp_path / 'in'),), tmp_path / 'out.csv', 2, tmp_path / 'review', 3)
    killed = killed_runs(request, 50, seed=0)
    assert killed >= 5
    whole = PredictRequest(request.inputs, tmp_path / 'whole.csv', 2, None, 64)
    predict(whole, Lengths())
    assert (tmp_path / 'out.csv').read_bytes() == (tmp_path / 'whole.csv').read_bytes()
    rejected = sum(row['accepted'] == 'false' for row in rows_of(tmp_path / 'out.csv'))
    assert len(list((tmp_path / 'review').iterdir())) == rejected


def test_half_a_line_is_written_again(tmp_path):
    write_files(tmp_path / 'in', 12)
    request = PredictRequest((str(tmp_path / 'in'),), tmp_path / 'out.csv', batch_size=4)

    class Stops(Lengths):
        def decide(self, images, first_unit=0):
            if len(self.units) == 2:
                raise KeyboardInterrupt
            return super().decide(images, first_unit)

    with pytest.raises(KeyboardInterrupt):
        predict(request, Stops())
    journal = tmp_path / '.out.csv.rows'
    journal.write_bytes(journal.read_bytes()[:-5])
    again = Lengths()
    predict(request, again)
    assert len(again.seen) == 5 and again.units == [7, 11]  # numbers of images, whoever decided on those before
    assert len({row['path'] for row in rows_of(request.out)}) == 12 == len(rows_of(request.out))


@pytest.mark.parametrize('line', [b'\0' * 40, b'{"path": 5}', b'[]', b'\xff{', b'['])
def test_a_damaged_journal_is_named_with_its_line(tmp_path, line):
    journal = tmp_path / '.out.csv.rows'
    with Journal(journal, {'cascade': 'a'}) as kept:
        kept.write([{'path': 'b'}])
    journal.write_bytes(journal.read_bytes() + line + b'\n')
    with pytest.raises(ValueError, match=rf'line 3 of {journal} is damaged'):
        Journal(journal, {'cascade': 'a'})


def test_a_full_disk_names_the_journal_and_keeps_whole_rows(tmp_path):
    journal = tmp_path / '.out.csv.rows'
    with pytest.raises(OSError) as full, full_after(2000), Journal(journal, {'cascade': 'a'}) as kept:
        for number in range(1000):
            kept.write([{'path': f'{number}.png'}])
    assert full.value.filename == str(journal)
    with Journal(journal, {'cascade': 'a'}) as kept:
        assert 50 < kept.rows < 200 and [row['path'] for row in kept] == [f'{n}.png' for n in range(kept.rows)]


def test_the_first_of_equal_classes_is_the_class(tmp_path):
    class Undecided(Lengths):
        @staticmethod
        def decision(image):
            return Decision(0, 'even', 0.5, True, 0, 5.0, np.array([0.5, 0.5], np.float32))

    write_files(tmp_path / 'in', 1)
    predict(PredictRequest((str(tmp_path / 'in'),), tmp_path / 'out.csv', 2), Undecided())
    assert [rows_of(tmp_path / 'out.csv')[0][key] for key in ('class_name', 'top1', 'top2')] == ['even', 'even', 'odd']


def test_decisions_of_two_cascades_are_not_mixed(tmp_path):
    write_files(tmp_path / 'in', 3)
    request = PredictRequest((str(tmp_path / 'in'),), tmp_path / 'out.csv')
    (tmp_path / '.out.csv.rows').write_text('{"schema": 1, "cascade": "another", "top": 0}\n')
    with pytest.raises(ValueError, match='with another cascade or other options; delete it'):
        predict(request, Lengths())


def test_rejected_images_do_not_end_up_in_two_folders(tmp_path):
    write_files(tmp_path / 'in', 3)
    (tmp_path / '.out.csv.rows').write_text('{"schema": 1, "cascade": "lengths", "top": 0}\n')
    request = PredictRequest((str(tmp_path / 'in'),), tmp_path / 'out.csv', rejected_to=tmp_path / 'review')
    with pytest.raises(ValueError, match='other options; delete it'):  # none of the earlier rows was linked
        predict(request, Lengths())


def test_inputs_of_all_kinds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path / 'in', 6)
    (tmp_path / 'in' / 'notes.md').write_text('no image')
    (tmp_path / 'list.txt').write_text('in/0/0000.png\n\nin/1/0001.png\n')
    assert [item.key for item in items(['in/0', 'list.txt', 'in/*/0005.png', 'in/2/0002.png'])] == [
        'in/0/0000.png', 'in/0/0003.png', 'in/0/0000.png', 'in/1/0001.png', 'in/2/0005.png', 'in/2/0002.png',
    ]  # fmt: skip
    assert count_items(['in', 'list.txt']) == 8
    for heading in ('', 'image,label\n'):  # as build takes them
        (tmp_path / 'list.csv').write_text(f'\ufeff{heading}"in/0/0000.png",cat\n\nin/1/0001.png,dog\n')
        assert [item.key for item in items(['list.csv'])] == ['in/0/0000.png', 'in/1/0001.png']
    assert count_items(['i*', 'in/[01]']) == 10  # folders that a pattern finds are searched, too
    (tmp_path / 'of.parquet').symlink_to('in/0')  # a folder, whatever its name
    (tmp_path / 'of.parquet.d').symlink_to('in/0')
    assert count_items(['of.parquet', 'of.parquet.d/0003.png']) == 3
    assert [item.key for item in items(['of.parquet.d/0003.png'])] == ['of.parquet.d/0003.png']
    tally = predict(PredictRequest(('list.txt', 'in/0'), Path('out.csv')), Lengths())
    assert tally.images == tally.total == 3
    assert len(rows_of(Path('out.csv'))) == 3  # one that comes twice has one row


@pytest.mark.parametrize(
    'inputs, out, message',
    [
        (('nowhere',), 'out.csv', "no image, folder or list 'nowhere'"),
        (('in/*.jpg',), 'out.csv', 'there is no image in'),
        (('empty',), 'out.csv', 'there is no image in'),
        (('in',), 'out.xlsx', 'ends with .csv, .jsonl, .parquet'),
        (('in',), 'there.csv', 'is there already; delete it'),
        (('a.parquet',), 'out.csv', "no file 'a.parquet'"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, inputs, out, message):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path / 'in', 1)
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'there.csv').write_text('')
    with pytest.raises((ValueError, OSError), match=message):
        predict(PredictRequest(inputs, Path(out)), Lengths())


def test_nothing_is_rejected_without_a_threshold(tmp_path):
    write_files(tmp_path / 'in', 1)
    decider = Lengths()
    decider.accepts = False
    with pytest.raises(ValueError, match='no accept threshold'):
        predict(PredictRequest((str(tmp_path / 'in'),), tmp_path / 'a.csv', rejected_to=tmp_path / 'r'), decider)


def test_parquet_both_ways(tmp_path):
    pyarrow = pytest.importorskip('pyarrow')
    from pyarrow import parquet

    images = [b'x' * (index % 23) for index in range(100)]
    parquet.write_table(pyarrow.table({'id': range(100), 'image': images}), tmp_path / 'in.parquet')
    predict(PredictRequest((f'{tmp_path}/in.parquet:image',), tmp_path / 'out.parquet'), Lengths())
    found = parquet.read_table(tmp_path / 'out.parquet').to_pylist()
    assert [row['path'] for row in found] == [f'{tmp_path}/in.parquet:{row}' for row in range(100)]
    assert [row['label'] for row in found] == [len(image) % 2 if image else None for image in images]
    with pytest.raises(ValueError, match="'id' of .* holds int64, .*; name the one that does, .*:COLUMN, of id, image"):
        predict(PredictRequest((f'{tmp_path}/in.parquet:id',), tmp_path / 'a.csv'), Lengths())
    with pytest.raises(ValueError, match="no column 'picture'; it has id, image"):
        predict(PredictRequest((f'{tmp_path}/in.parquet:picture',), tmp_path / 'a.csv'), Lengths())
    (tmp_path / 'no.parquet').write_bytes(b'PAR')
    with pytest.raises(ValueError, match='no.parquet cannot be read as a Parquet file'):
        predict(PredictRequest((f'{tmp_path}/no.parquet',), tmp_path / 'a.csv'), Lengths())


def test_parquet_files_by_pattern_and_by_folder(tmp_path, monkeypatch):
    pyarrow = pytest.importorskip('pyarrow')
    from pyarrow import parquet

    monkeypatch.chdir(tmp_path)
    given = []
    for number in range(3):
        images = [f'{number} {row}'.encode() for row in range(70)]
        Path('shards', str(number)).mkdir(parents=True)
        # As the library `datasets` writes them, in several groups of rows.
        column = [{'bytes': image, 'path': None} for image in images]
        table = pyarrow.table({'label': range(70), 'image': column, 'scan': images[::-1]})
        parquet.write_table(table, f'shards/{number}/part.parquet', row_group_size=[100, 32, 7][number])
        given += [(f'shards/{number}/part.parquet:{row}', image) for row, image in enumerate(images)]
    for inputs in (['shards'], ['shards/*/part.parquet'], ['shards/*/*.parquet:image'], ['shards/*/p*']):
        assert [(item.key, item.image) for item in items(inputs)] == given
        assert count_items(inputs) == 210
        assert [place.key for place in places(inputs)] == [key for key, _ in given]
    assert next(items(['shards/0/*.parquet:scan'])).image == b'0 69'
    # Each actor of Ray reads the rows of its own chunk, whatever groups they lie in.
    (found := list(places(['shards'])))[100:105] = [Place('a.png', Path('a.png'))]
    expected = [*given[:100], ('a.png', Path('a.png')), *given[105:]]
    for start, end in ((0, 206), (5, 9), (60, 150), (99, 101), (139, 206)):
        assert [(item.key, item.image) for item in read_places(found[start:end])] == expected[start:end]
    assert [item.image for item in read_places(found[::-7])] == [image for _, image in expected[::-7]]
    # Where there are images, a table beside them is one about them.
    write_files(Path('shards', '1'), 1)
    assert [item.key for item in items(['shards'])] == ['shards/1/0/0000.png']
    with pytest.raises(FileNotFoundError, match='there is no file'):
        count_items(['nowhere/*.parquet'])
