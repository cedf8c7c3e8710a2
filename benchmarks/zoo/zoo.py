# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which networks of the zoos work as members: every config of both libraries, and two of every timm module.

Each network gets two sets of random weights, is built as two members from two checkpoint files, and is routed beside
the library's own test step; zoo_classifiers.py and zoo_segmentors.py say what is compared. Each runs in a process of
its own with a time limit, which is forked, so run this on a processor. Entries of a metafile that build the same
network are one.

The file of --json is read first and written after each network, so a run that was stopped goes on:

    nice -n 19 python benchmarks/zoo/zoo.py --json benchmarks/results/zoo.json
    python benchmarks/zoo/zoo.py --json benchmarks/results/zoo.json --again fault time
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import timm
import torch
from zoo_classifiers import check_classifier, smallest_of_timm
from zoo_found import Found, too_large
from zoo_index import network_key, own_size, told
from zoo_process import Row, alone, ended, rows_before
from zoo_segmentors import check_segmentor

from mmcascade.models.members.member_configs import model_config
from mmcascade.models.members.zoo import library_home, read_index

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, print_table, write_rows

Job = tuple[str, str, Callable[[], Found]]

#: How a network may end, and what that means.
STATUSES = {
    'works': 'routed, and equal to the library',
    'refused': 'no classifier or segmentor; the reason is said',
    'library': 'the library alone cannot build or run it here',
    'large': 'above the bounds',
    'time': 'above the time limit',
    'fault': 'differs from the library, or ends in an error of ours',
}
_EMPTY = dict.fromkeys(('status', 'reason', 'size', 'parameters', 'macs', 'ratio', 'difference', 'seconds'))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--kinds', nargs='+', default=['mmpretrain', 'mmseg', 'timm'])
    parser.add_argument('--again', nargs='*', default=[], choices=STATUSES, help='do those of a status once more')
    parser.add_argument('--only', default='', help='networks whose name contains this')
    parser.add_argument('--parameters', type=float, default=100e6, help='the largest network, by its metafile')
    parser.add_argument('--flops', type=float, default=20e9, help='the costliest classifier, by its metafile')
    parser.add_argument('--seconds', type=float, default=120.0, help='of the processor, for one network')
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = rows_before(args.json, args.again)
    done = {(row['kind'], row['name']) for row in rows}
    for kind in args.kinds:
        jobs = timm_jobs() if kind == 'timm' else zoo_jobs(kind, args.parameters, args.flops)
        for _, name, job in jobs:
            if (kind, name) in done or args.only not in name:
                continue
            rows.append({'kind': kind, 'name': name, **_EMPTY, **alone(job, args.seconds)})
            print(*(str(rows[-1][key]) for key in ('kind', 'name', 'status', 'reason')), sep='  ', flush=True)
            if args.json:
                write_rows(args.json, sorted(rows, key=lambda row: (row['kind'], row['name'])))
    print_table(summary(rows))


def summary(rows: list[Row]) -> list[Row]:
    """Networks of each kind by how they ended."""
    kinds = sorted({row['kind'] for row in rows})
    table = []
    for kind in kinds:
        found = [row['status'] for row in rows if row['kind'] == kind]
        table.append({'kind': kind, 'tried': len(found), **{status: found.count(status) for status in STATUSES}})
    return table


def zoo_jobs(library: str, parameters: float, flops: float) -> Iterator[Job]:
    """A job for every distinct network that the metafiles of a library name.

    The smallest network of each method comes first, then the second of each, so that a run that is stopped has seen as
    many methods as it had time for.
    """
    methods: dict[str, int] = {}
    ranked = []
    for size, job in sorted(_zoo_jobs(library, parameters, flops), key=lambda sized: sized[0]):
        method = re.split('[-_]', job[1])[0]
        ranked.append((methods.setdefault(method, 0), size, job))
        methods[method] += 1
    return (job for _, _, job in sorted(ranked, key=lambda entry: entry[:2]))


def _zoo_jobs(library: str, parameters: float, flops: float) -> Iterator[tuple[float, Job]]:
    seen = set()
    for model in read_index(library_home(library) / 'model-index.yml'):
        try:
            config = model_config(model.config)
            key = network_key(config)
        except Exception as error:  # libraries have configs that nothing can read
            reason = f'{type(error).__name__}: {error}'.splitlines()[0]
            yield 0.0, (library, model.name, partial(ended, 'library', reason))
            continue
        if key in seen:
            continue
        seen.add(key)
        size = told(model, 'Parameters')
        job: Callable[[], Found]
        if size > parameters or told(model, 'FLOPs') > flops:
            job = partial(too_large, config)
        elif library == 'mmseg':
            job = partial(check_segmentor, f'{library}::{model.name}')
        else:
            job = partial(check_classifier, f'{library}::{model.name}', own_size(model))
        yield size or parameters, (library, model.name, job)


def timm_jobs() -> Iterator[Job]:
    """One job for each of the two smallest networks of every timm module."""
    for module in sorted(timm.list_modules()):
        names = alone(partial(smallest_of_timm, module, 2), 60)
        for name in names.get('names') or []:
            config = dict(
                _scope_='mmpretrain',
                type='TimmClassifier',
                model_name=name,
                data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
            )
            size = timm.get_pretrained_cfg(name)
            yield 'timm', name, partial(check_classifier, config, size.input_size[-1] if size else 224)


if __name__ == '__main__':
    main()
