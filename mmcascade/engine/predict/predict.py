# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images in, a table of decisions out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmcascade._system.files import check_writable, written_whole
from mmcascade._system.locks import BusyError, alone
from mmcascade.engine.predict.deciders.decider import Decider
from mmcascade.engine.predict.inputs import Item, count_items, items
from mmcascade.engine.predict.journal import Journal
from mmcascade.engine.predict.request import PredictRequest
from mmcascade.engine.predict.rows.maps import MapDecision
from mmcascade.engine.predict.rows.row import Counted, Result, Row, RowFormat
from mmcascade.engine.predict.tables import check_table, write_table
from mmcascade.runtime import Decision


@dataclass
class Tally:
    """What became of the images so far, those of earlier runs included.

    Attributes:
        images: how many are done.
        total: how many there are.
        exits: per stage, how many left after it; an image whose area is divided counts in parts.
        accepted: how many were.
        errors: how many could not be read.
    """

    total: int
    images: int = 0
    exits: dict[int, float] = field(default_factory=dict)
    accepted: int = 0
    errors: int = 0

    def count(self, more: Counted) -> None:
        """One more image."""
        self.images += 1
        self.errors += more.exits is None
        self.accepted += more.accepted is True
        for stage, share in (more.exits or {}).items():
            self.exits[stage] = self.exits.get(stage, 0.0) + share

    def shares(self, stages: int) -> list[float]:
        """Share of the decided images (of label maps: of their area) that left after each stage."""
        decided = max(1, self.images - self.errors)
        return [self.exits.get(stage, 0.0) / decided for stage in range(stages)]


#: Told after every batch.
Watch = Callable[[Tally], None]


def predict(request: PredictRequest, decider: Decider[Result], watch: Watch = lambda tally: None) -> Tally:
    """Decide on all images and write the table.

    A run that ends before its time, in whatever way, is gone on with by the same call: each image has one row.

    Args:
        request: what is asked for.
        decider: decides.
        watch: told how far it is.

    Raises:
        ValueError, OSError: if there is no image, the file is there already, or it cannot be written.
        BusyError: if another process writes it.
    """
    check_table(request.out)
    check_writable(request.out)
    if request.out.exists():
        raise ValueError(f'{request.out} is there already; delete it, or name another --out')
    rows = decider.rows(request)
    total = count_items(request.inputs)
    try:
        with alone(request.out):
            about = {'cascade': decider.fingerprint, **request.about_rows}
            with Journal(request.out.with_name(f'.{request.out.name}.rows'), about) as journal:
                tally = Tally(total)
                for row in journal:
                    tally.count(rows.count(row))
                watch(tally)
                for batch in _decided_on(request, decider, rows, journal):
                    journal.write(batch)
                    for row in batch:
                        tally.count(rows.count(row))
                    watch(tally)
                tally.total = tally.images  # one that came twice has one row
                watch(tally)
                write_table(request.out, journal, rows.columns)
            journal.path.unlink()
            return tally
    except BusyError as error:
        raise BusyError(f'{request.out} is being written by {error}; wait for it, or name another --out') from None


def _decided_on(
    request: PredictRequest, decider: Decider[Result], rows: RowFormat[Result], journal: Journal
) -> Iterator[list[Row]]:
    """The rows of what has none yet, batch by batch."""
    for first, batch in _batches(items(request.inputs), journal, request.batch_size or decider.batch_size):
        results = decider.decide([item.image for item in batch], first)
        pairs = list(zip(batch, results, strict=True))
        for item, result in pairs:
            put_rejected(request, item, result)
        yield [rows.row(item, result) for item, result in pairs]  # what is killed before that is linked again


def put_rejected(request: PredictRequest, item: Item, result: object) -> None:
    """A link to an image that is not accepted, where links are asked for."""
    if request.rejected_to is not None and isinstance(result, Decision | MapDecision) and result.accepted is False:
        put_link(item, request.rejected_to)


def _batches(source: Iterator[Item], journal: Journal, size: int) -> Iterator[tuple[int, list[Item]]]:
    """Images without a row yet, each key once, with the running number of the first."""
    fresh = ((number, item) for number, item in enumerate(source))
    while True:
        batch: list[Item] = []
        first, keys = 0, set()
        for number, item in fresh:
            if item.key in journal or item.key in keys:
                continue
            first = first if batch else number
            batch.append(item)
            keys.add(item.key)
            if len(batch) == size:
                break
        if not batch:
            return
        yield first, batch


def put_link(item: Item, folder: Path) -> None:
    """A link to an image under a name made of its key, or its bytes where it is no file; one that is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(item.image, bytes):
        with written_whole(folder / f'{item.name}{_suffix(item.image)}', 'wb') as file:
            file.write(item.image)
        return
    target, place = item.image.resolve(), folder / item.name
    if place.is_symlink() and place.resolve() != target:  # two keys that differ in signs only
        place = folder / item.unique_name
    if not place.is_symlink():
        os.symlink(target, place)


def _suffix(content: bytes) -> str:
    known = {b'\x89PNG': '.png', b'\xff\xd8\xff': '.jpg', b'GIF8': '.gif', b'RIFF': '.webp', b'BM': '.bmp'}
    return next((suffix for start, suffix in known.items() if content.startswith(start)), '')
