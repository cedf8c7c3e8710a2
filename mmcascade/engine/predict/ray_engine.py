# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Decisions by Ray Data: many processes or machines, one table in parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from mmcascade._system.extras import needed_by, require
from mmcascade._system.files import written_whole
from mmcascade.engine.predict.deciders.open_decider import open_decider
from mmcascade.engine.predict.inputs import Item, Place, count_items, places, read_places
from mmcascade.engine.predict.predict import Tally, Watch, put_rejected
from mmcascade.engine.predict.request import PredictRequest
from mmcascade.engine.predict.rows.row import Counted
from mmcascade.engine.predict.tables import write_table

#: What the parts of a table depend on; readers of Parquet folders leave files with such names out.
ABOUT = '_about.json'
SCHEMA = 1


@dataclass(frozen=True)
class RayOptions:
    """How a prediction is spread.

    Attributes:
        address: of a Ray cluster, such as 'auto'; None = this machine alone.
        actors: how many processes hold the cascade, at the most; None = as many as there are processors.
        chunk: images that are decided on, written and counted together; what is lost with a process is done again.
        cpus: processors of each actor.
        gpus: of each actor; a part is fine.
    """

    address: str | None = None
    actors: int | None = None
    chunk: int = 256
    cpus: float = 1.0
    gpus: float = 0.0


class CascadeActor:
    """A process that holds a cascade: decides on chunks of images, and writes each as one part of the table.

    A part's name is made of the keys in it and it is written in one piece, so a chunk that is done twice, because an
    actor was lost, is there once.

    Args:
        cascade: as ``mmcascade predict`` takes it.
        request: what is asked for; ``out`` is the folder of the parts.
    """

    def __init__(self, cascade: str, request: PredictRequest) -> None:
        self._request = request
        self._decider = open_decider(cascade)
        self._rows = self._decider.rows(request)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Decide on a chunk; the row says what became of it."""
        batch = chunk_items(row)
        size = self._request.batch_size or self._decider.batch_size
        rows = []
        for start in range(0, len(batch), size):
            part = batch[start : start + size]
            results = self._decider.decide([item.image for item in part], int(row['first']) + start)
            for item, result in zip(part, results, strict=True):
                put_rejected(self._request, item, result)
                rows.append(self._rows.row(item, result))
        write_table(self._request.out / part_name([item.key for item in batch]), rows, self._rows.columns)
        counts = [self._rows.count(one) for one in rows]
        return {'counts': json.dumps([[c.exits and list(c.exits.items()), c.accepted] for c in counts])}


def predict_on_ray(
    cascade: str, request: PredictRequest, options: RayOptions, watch: Watch = lambda tally: None
) -> Tally:
    """Decide on all images by Ray Data, and write a folder of Parquet files, which readers take for one table.

    A run that ends before its time is gone on with by the same call: each image has one row.

    Args:
        cascade: as ``mmcascade predict`` takes it; every machine must find it, and the images, under the same paths.
        request: what is asked for; ``out`` names the folder.
        options: how it is spread.
        watch: told how far it is.

    Raises:
        ValueError, OSError: if there is no image, or the folder holds something else.
    """
    with needed_by('mmcascade predict --engine ray'):
        import ray.data
    require('pyarrow', 'writing Parquet files')
    request = replace(
        request,
        out=request.out.resolve(),
        inputs=tuple(_absolute(name) for name in request.inputs),
        rejected_to=request.rejected_to and request.rejected_to.resolve(),
        maps_to=request.maps_to and request.maps_to.resolve(),
    )
    total = count_items(request.inputs)
    decider = open_decider(cascade)  # refuses here what actors would refuse one by one
    rows = decider.rows(request)
    _begin(request, decider.fingerprint)
    tally = Tally(total)
    done = set()
    for path in finished_parts(request.out):
        for row in read_part(path):
            done.add(row['path'])
            tally.count(rows.count(row))
    watch(tally)
    work = [chunk_row(first, chunk) for first, chunk in _chunks(request.inputs, done, options.chunk)]
    if not work:
        return tally
    _connect(options)
    found = ray.data.from_items(work, override_num_blocks=len(work)).map(
        CascadeActor,  # type: ignore[arg-type]  # Ray makes an actor of a class
        fn_constructor_args=(str(Path(cascade).expanduser().resolve()), request),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=options.actors or _most_actors(options)),
        num_cpus=options.cpus,
        num_gpus=options.gpus,
    )
    for finished in found.iter_rows():
        for exits, accepted in json.loads(finished['counts']):
            tally.count(Counted(None if exits is None else {int(k): share for k, share in exits}, accepted))
        watch(tally)
    return tally


def chunk_row(first: int, chunk: Sequence[Place]) -> dict[str, Any]:
    """Some images as a row of Ray Data, which says where they lie: each actor reads its own."""
    return {
        'first': first,
        'keys': [place.key for place in chunk],
        'files': [str(place.file.resolve()) for place in chunk],
        'columns': [place.column or '' for place in chunk],
        'rows': [-1 if place.row is None else place.row for place in chunk],
    }


def chunk_items(row: dict[str, Any]) -> list[Item]:
    """The images in a row of Ray Data."""
    told = zip(row['keys'], row['files'], row['columns'], row['rows'], strict=True)
    return read_places(
        [
            Place(str(key), Path(file), str(column) or None, None if number < 0 else int(number))
            for key, file, column, number in told
        ]
    )


def part_name(keys: Sequence[str]) -> str:
    """The file of the part with these keys."""
    return f'part-{hashlib.sha256(json.dumps(list(keys)).encode()).hexdigest()[:32]}.parquet'


def finished_parts(folder: Path) -> list[Path]:
    """The parts of a table that are there."""
    return sorted(folder.glob('part-*.parquet'))


def read_part(path: Path) -> list[dict[str, Any]]:
    """The rows of a part."""
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path).to_pylist()


def _begin(request: PredictRequest, fingerprint: str) -> None:
    """Make the folder, or see that it holds parts of this table.

    Raises:
        ValueError: if it holds anything else.
    """
    about = {'schema': SCHEMA, 'cascade': fingerprint, **request.about_rows}
    path = request.out / ABOUT
    if path.is_file():
        if json.loads(path.read_text()) != about:
            raise ValueError(
                f'{request.out} holds decisions of an earlier run with another cascade or other options; delete it to '
                'begin anew, or name another --out'
            )
        return
    if request.out.exists() and (not request.out.is_dir() or any(request.out.iterdir())):
        raise ValueError(f'{request.out} is there already, and no table that --engine ray began; name another --out')
    request.out.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        json.dump(about, file)


def _chunks(inputs: Sequence[str], done: set[str], size: int) -> Iterator[tuple[int, list[Place]]]:
    """Images without a row yet, each key once, with the running number of the first."""
    seen = set(done)

    def fresh() -> Iterator[tuple[int, Place]]:
        for number, place in enumerate(places(inputs)):
            if place.key not in seen:
                seen.add(place.key)
                yield number, place

    source = fresh()
    while chunk := list(islice(source, size)):
        yield chunk[0][0], [place for _, place in chunk]


def _absolute(name: str) -> str:
    path = Path(name).expanduser()
    return name if path.is_absolute() else str(Path.cwd() / path)


def _most_actors(options: RayOptions) -> int:
    import ray

    return max(1, int(ray.cluster_resources().get('CPU', 1) // options.cpus))


def _connect(options: RayOptions) -> None:
    import ray
    import ray.data

    if not ray.is_initialized():
        ray.init(
            address=options.address, log_to_driver=False, include_dashboard=False if options.address is None else None
        )
    ray.data.DataContext.get_current().enable_progress_bars = False
