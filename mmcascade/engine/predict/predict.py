# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images in, a table of decisions out."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmcascade._system.files import check_writable, written_whole
from mmcascade._system.locks import BusyError, alone
from mmcascade.engine.predict.decider import Decider
from mmcascade.engine.predict.inputs import Item, count_items, items
from mmcascade.engine.predict.journal import Journal
from mmcascade.engine.predict.rows import columns, row_of
from mmcascade.engine.predict.tables import check_table, write_table
from mmcascade.runtime import Decision, Failure


@dataclass(frozen=True)
class PredictRequest:
    """What is asked for.

    Attributes:
        inputs: images, as :func:`~mmcascade.engine.predict.inputs.items` reads them.
        out: file to write: .csv, .jsonl or .parquet.
        top: how many of the most probable classes are told.
        rejected_to: folder that gets a link to each image that is not accepted.
        batch_size: images at a time.
    """

    inputs: tuple[str, ...]
    out: Path
    top: int = 0
    rejected_to: Path | None = None
    batch_size: int = 32


@dataclass
class Tally:
    """What became of the images so far, those of earlier runs included.

    Attributes:
        images: how many are done.
        total: how many there are.
        exits: per stage, how many left after it.
        accepted: how many were.
        errors: how many could not be read.
    """

    total: int
    images: int = 0
    exits: Counter[int] = field(default_factory=Counter)
    accepted: int = 0
    errors: int = 0

    def count(self, exit_stage: int | None, accepted: bool | None) -> None:
        """One more image; without a stage it could not be read."""
        self.images += 1
        self.errors += exit_stage is None
        self.accepted += accepted is True
        if exit_stage is not None:
            self.exits[exit_stage] += 1

    def shares(self, stages: int) -> list[float]:
        """Share of the decided images that left after each stage."""
        decided = max(1, self.images - self.errors)
        return [self.exits[stage] / decided for stage in range(stages)]


#: Told after every batch.
Watch = Callable[[Tally], None]


def predict(request: PredictRequest, decider: Decider, watch: Watch = lambda tally: None) -> Tally:
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
    if request.rejected_to is not None and not decider.accepts:
        raise ValueError(
            'the cascade has no accept threshold, so it rejects nothing; leave --rejected-to out, or calibrate it for '
            'risk= or coverage='
        )
    total = count_items(request.inputs)
    kinds = columns(request.top)
    try:
        with alone(request.out):
            about = {'cascade': decider.fingerprint, 'top': request.top}
            with Journal(request.out.with_name(f'.{request.out.name}.rows'), about) as journal:
                tally = Tally(total)
                for row in journal:
                    tally.count(row['exit_stage'], row['accepted'])
                watch(tally)
                _decide_on_the_rest(request, decider, journal, tally, watch)
                write_table(request.out, journal, kinds)
            journal.path.unlink()
            return tally
    except BusyError as error:
        raise BusyError(f'{request.out} is being written by {error}; wait for it, or name another --out') from None


def _decide_on_the_rest(
    request: PredictRequest, decider: Decider, journal: Journal, tally: Tally, watch: Watch
) -> None:
    classes = decider.classes
    for first, batch in _batches(items(request.inputs), journal, request.batch_size):
        rows = []
        results = decider.decide([item.image for item in batch], first)
        for item, result in zip(batch, results, strict=True):
            if isinstance(result, Decision):
                tally.count(result.exit_stage, result.accepted)
            else:
                tally.count(None, None)
            rows.append(row_of(item.key, result, classes, request.top))
            if request.rejected_to is not None and _is_rejected(result):
                put_link(item, request.rejected_to)
        journal.write(rows)  # after the links: what is killed in between is linked again
        watch(tally)


def _is_rejected(result: Decision | Failure) -> bool:
    return isinstance(result, Decision) and result.accepted is False


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
    name = re.sub(r'[^\w.-]+', '_', item.key).strip('._')
    if isinstance(item.image, bytes):
        with written_whole(folder / f'{name}{_suffix(item.image)}', 'wb') as file:
            file.write(item.image)
        return
    target, place = item.image.resolve(), folder / name
    if place.is_symlink() and place.resolve() != target:  # two keys that differ in signs only
        place = folder / f'{hashlib.sha256(item.key.encode()).hexdigest()[:8]}_{name}'
    if not place.is_symlink():
        os.symlink(target, place)


def _suffix(content: bytes) -> str:
    known = {b'\x89PNG': '.png', b'\xff\xd8\xff': '.jpg', b'GIF8': '.gif', b'RIFF': '.webp', b'BM': '.bmp'}
    return next((suffix for start, suffix in known.items() if content.startswith(start)), '')
