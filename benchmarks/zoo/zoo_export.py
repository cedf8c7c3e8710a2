# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which families of the zoos hold as graphs: the smallest network of each in both libraries, in every runtime.

Each network gets random weights that keep images apart, is written as a graph for small images (or those of its own
size, where it takes no small ones) and compared with torch at several numbers of rows, as a stage does it. Each runs in
a process of its own with a time limit, and in a cache of its own.

The file of --json is read first and written after each network, so a run that was stopped goes on:

    nice -n 19 python benchmarks/zoo/zoo_export.py --json benchmarks/results/zoo_export.json
"""

from __future__ import annotations

import copy
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from zoo_index import own_size, told
from zoo_networks import draw_images, draw_weights, library_builds, loaded
from zoo_process import Row, alone, rows_before

from mmcascade.models.members.zoo import ZooModel, library_home, read_index
from mmcascade.models.runtimes.engines import engine_from, installed
from mmcascade.models.runtimes.graphs.agreement import TOLERANCES
from mmcascade.models.runtimes.graphs.checked_graphs import CheckedGraphs, GraphError
from mmcascade.models.runtimes.graphs.fixed_rows import FixedRows
from mmcascade.models.runtimes.graphs.graph_cache import GraphCache
from mmcascade.models.runtimes.graphs.subject import Subject
from mmcascade.models.runtimes.networks.classifier_network import ClassifierNetwork
from mmcascade.models.runtimes.networks.segmentor_network import SegmentorNetwork

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, print_table, write_rows

#: How a network may end in a runtime, and what that means.
STATUSES = {
    'any': 'one graph for any number of rows',
    'fixed': 'a graph for each number of rows, which is run with padding',
    'refused': 'no graph, or one that computes something else; the reason is said',
    'library': 'the library alone cannot build or run it here',
    'time': 'above the time limit',
    'fault': 'ends in an error of ours',
}
_SIDES = dict(mmpretrain=(64,), mmseg=(128, 256, 512))
_EMPTY = dict.fromkeys(('status', 'reason', 'size', 'probability', 'deviations', 'seconds', 'rounding'))


def families(library: str) -> Iterator[tuple[str, ZooModel]]:
    """The network with the fewest parameters of each folder of configs, by its metafile; the first where none says."""
    smallest: dict[str, tuple[float, ZooModel]] = {}
    for model in read_index(library_home(library) / 'model-index.yml'):
        try:
            family = Path(model.config).parent.name
        except FileNotFoundError:  # metafiles name configs that nobody has
            continue
        size = told(model, 'Parameters') or float('inf')
        if family not in smallest or size < smallest[family][0]:
            smallest[family] = size, model
    for family in sorted(smallest):
        yield family, smallest[family][1]


def check(library: str, model: ZooModel, runtime: str) -> Row:
    """One network in one runtime."""
    reference = f'{library}::{model.name}'
    built = library_builds(reference)
    if isinstance(built, str):
        return {'status': 'library', 'reason': built[:300]}
    sides = [*_SIDES[library], *([own_size(model)] if library == 'mmpretrain' else [])]
    for side in sides:
        images = draw_images(3 if library == 'mmpretrain' else 1, side)
        weights = draw_weights(built, 0, images)
        if not isinstance(weights, str):
            break
    else:
        return {'status': 'library', 'reason': str(weights)[:300]}
    network = (ClassifierNetwork if library == 'mmpretrain' else SegmentorNetwork)(loaded(built, weights))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        cache = GraphCache(folder)
        subject = Subject(model.name, network, tuple(images.shape[1:]), images.dtype)
        engine = engine_from(runtime)
        assert engine is not None
        graphs = CheckedGraphs(subject, engine, cache)
        try:
            opened = graphs.open()
        except (GraphError, ValueError) as error:
            rounding = torch_rounding(subject, images)
            return {'status': 'refused', 'reason': str(error)[:300], 'size': side, 'rounding': rounding}
        status = 'fixed' if isinstance(opened, FixedRows) else 'any'
        values = torch.from_numpy(opened(images.numpy(), None))
        gap = subject.difference(values, subject.reference(images))
    assert gap.probability <= TOLERANCES['float32'].probability
    return {
        'status': status,
        'reason': '',
        'size': side,
        'probability': gap.probability,
        'deviations': gap.largest,
        'seconds': round(time.perf_counter() - start, 1),
    }


@torch.no_grad()
def torch_rounding(subject: Subject, images: torch.Tensor) -> float | None:
    """How far torch's own probabilities in float32 are from those in float64; None where it has no float64.

    Random weights make the values of some networks grow by the layer. Where torch rounds by as much as it differs from
    a graph, the graph is no worse than torch.
    """
    inputs = subject.network.prepare(images).inputs
    twin = copy.copy(subject.network)
    twin.module = copy.deepcopy(subject.network.module).double()
    try:
        exact = twin.values(inputs.double())
    except RuntimeError:
        return None
    return subject.difference(subject.network.values(inputs).double(), exact).probability


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--libraries', nargs='+', choices=_SIDES, default=list(_SIDES))
    parser.add_argument('--runtimes', nargs='+', default=installed())
    parser.add_argument('--families', nargs='+', help='only these (default: all)')
    parser.add_argument('--again', nargs='*', default=[], choices=STATUSES, help='do those of a status once more')
    parser.add_argument('--seconds', type=float, default=300.0, help='of the processor, for one network')
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    rows = rows_before(args.json, args.again)
    done = {(row['library'], row['family'], row['runtime']) for row in rows}
    for library in args.libraries:
        for family, model in families(library):
            if args.families and family not in args.families:
                continue
            for runtime in args.runtimes:
                if (library, family, runtime) in done:
                    continue
                about: dict[str, Any] = dict(library=library, family=family, name=model.name, runtime=runtime)
                rows.append(about | _EMPTY | alone(partial(check, library, model, runtime), args.seconds))
                print(*(str(rows[-1][key]) for key in ('family', 'runtime', 'status', 'reason')), sep='  ', flush=True)
                if args.json:
                    write_rows(args.json, sorted(rows, key=lambda row: (row['library'], row['family'], row['runtime'])))
    print_table(summary(rows))


def summary(rows: list[Row]) -> list[Row]:
    """Families of each library and runtime by how they ended."""
    kinds = sorted({(row['library'], row['runtime']) for row in rows})
    table = []
    for kind in kinds:
        found = [row['status'] for row in rows if (row['library'], row['runtime']) == kind]
        counts = {status: found.count(status) for status in STATUSES}
        table.append({'library': kind[0], 'runtime': kind[1], 'tried': len(found), **counts})
    return table


if __name__ == '__main__':
    main()
