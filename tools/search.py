# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Search stored scores for cascades worth their cost.

Examples:
    mmcascade search all.store --out front --quality coverage@risk=0.05
    mmcascade search all.store --out small --max-macs 5e7 --max-worst-case 1e8
    mmcascade search all.store --out same --convert small0,small1
    mmcascade search all.store --out functions --compare-confidences small0
    mmcascade search cells.store --out front --quality miou --max-cells 4

A store is made by mmcascade calibrate from a config with every stage that is to be tried. The search sees one half of
its images; what is printed is measured on the other half.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mmcascade.engine.console.arguments import Subparsers, command
from mmcascade.engine.console.commands import main
from mmcascade.engine.console.progress import progress_bar

if TYPE_CHECKING:
    from mmcascade.calibration.grid.plan import Plan
    from mmcascade.engine.runs.search import SearchRun

QUALITIES = "'accuracy', 'coverage@risk=0.05', 'risk@coverage=0.8', 'aurc' or 'augrc'"


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    """The arguments of the command."""
    made = command('search', __doc__, run, subparsers, interrupted='nothing was written')
    add = made.add_argument
    add('stores', nargs='+', metavar='STORE', help='folder(s) with scores of the same images')
    add('--out', required=True, help='folder for the results; must not exist, or be empty')
    add(
        '--quality',
        help=f'what should be good: {QUALITIES} (default accuracy); of segmentations miou, and nothing else',
    )
    add(
        '--policy',
        choices=['window', 'threshold'],
        help='who goes on: those in a window, or all below a threshold (default window; threshold with --convert)',
    )
    add('--confidence', metavar='NAME', help="default: that of the store's config, else max_prob")
    add('--fusion', choices=['prob', 'logit', 'replace'], help="default: that of the store's config, else prob")
    add('--max-stages', type=int, default=4, help='longest chain (default %(default)s)')
    add(
        '--order',
        choices=['cost', 'any'],
        default='cost',
        help='cost: no stage after a more expensive one; any: all orders',
    )
    add('--max-cost', type=float, help='highest mean cost per image: multiply-adds, or milliseconds with --costs')
    add('--max-macs', type=float, help='the same, of multiply-adds only')
    add('--max-worst-case', type=float, help='highest cost of an image that runs the whole chain, in the same unit')
    add(
        '--max-cells',
        type=int,
        help='of segmentations: let at most so many cells of an image go on after stage 0, the least confident ones',
    )
    add('--min-accuracy', type=float, help='lowest accuracy, a fraction')
    add('--reach', type=float, help='what the quality must reach, a fraction')
    add(
        '--costs',
        help='JSON file with milliseconds per image, {"member@view": 1.5, ...}, in place of multiply-adds; '
        'for cells {"member on images": 1.5, "member on cells": 0.7, ...}; tools/benchmark.py --costs writes it',
    )
    add('--convert', metavar='STAGES', help='turn the ensemble of these stages, such as small0,small1, into a cascade')
    add(
        '--match',
        choices=['accuracy', 'macs', 'cost'],
        default='accuracy',
        help="with --convert: lowest cost at the ensemble's accuracy (default), or highest accuracy at its cost",
    )
    add(
        '--compare-confidences',
        metavar='STAGES',
        help='only draw how well the confidence functions rank the predictions of a stage or ensemble',
    )
    add('--points', type=int, default=20, help='write at most so many points of the front (default 20)')
    add(
        '--max-settings',
        type=float,
        default=1e7,
        help='evaluate about so many settings at most (default %(default)g)',
    )
    add('--seed', type=int, default=0, help='of the division of the images into halves')
    return made


def run(args: argparse.Namespace) -> None:
    """Search."""
    from mmcascade._system.files import read_json
    from mmcascade._system.tables import print_lines
    from mmcascade.engine.console.search_table import committees_table, coverage_lines, points_table
    from mmcascade.engine.runs.search import SearchRun

    costs = read_json(args.costs) if args.costs else None
    searched = SearchRun.open(
        args.stores, args.out, costs, args.confidence, args.fusion, seed=args.seed, points=args.points
    )
    plan = make_plan(args, searched)
    if args.compare_confidences:
        for name, area in searched.confidences(args.compare_confidences).items():
            print(f'{name:12} mean accuracy over all shares {100 * area:.3f} %')
        return print(f'{args.out}/confidences.png')
    if args.convert:
        result = searched.converted(args.convert, 'accuracy' if args.match == 'accuracy' else 'cost', plan)
    else:
        with progress_bar('chains') as progress:
            result = searched.front(plan, progress)
    points_table(result).show()
    if result.get('committees'):
        print()
        committees_table(result).show()
    print()
    print_lines(coverage_lines(result))
    if result['configs'] is None:
        print('the store keeps no config (fill it again with mmcascade calibrate), so no configs were written')
    configs = ', and a folder with a config for each point' if result['configs'] else ''
    print_lines([f'{args.out}: pareto.csv, pareto.json, pareto.png{configs}'])


def make_plan(args: argparse.Namespace, run: SearchRun) -> Plan:
    from mmcascade.calibration.grid.plan import Limits, Plan
    from mmcascade.calibration.replay.quality import Quality

    own = run.candidates.source.quality
    if own.kind == 'mIoU' and args.min_accuracy is not None:
        raise ValueError(
            f'--min-accuracy is for stores of scores, and {args.stores[0]} holds cells: give the lowest mIoU with '
            '--reach'
        )
    return Plan(
        Quality.parse(args.quality) if args.quality else own,
        Limits(_max_cost(args), args.max_worst_case, args.min_accuracy, args.reach),
        max_stages=args.max_stages,
        order=args.order,
        policy=args.policy or ('threshold' if args.convert else 'window'),
        max_settings=args.max_settings,
        max_cells=args.max_cells,
    )


def _max_cost(args: argparse.Namespace) -> float | None:
    if args.max_macs is None:
        return args.max_cost
    if args.costs:
        raise ValueError('--max-macs counts multiply-adds, and --costs gives milliseconds; write --max-cost')
    if args.max_cost is not None:
        raise ValueError('--max-cost and --max-macs are one limit; leave one of them out')
    return args.max_macs


if __name__ == '__main__':
    main(parser)
