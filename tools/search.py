# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Search stored scores for cascades that are worth their cost.

Examples:
    tools/search.py work_dirs/all.store --out work_dirs/front --quality coverage@risk=0.05
    tools/search.py work_dirs/all.store --out work_dirs/small --max-macs 50e6 --max-worst-case 120e6
    tools/search.py work_dirs/all.store --out work_dirs/same --convert small0,small1 --match accuracy
    tools/search.py work_dirs/all.store --out work_dirs/functions --compare-confidences small0
    tools/search.py work_dirs/cells.store --out work_dirs/front --quality miou --max-cells 4

A store is made by tools/calibrate.py from a config with every stage that is to be tried. The search sees one half of
its images; what is printed is measured on the other half.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mmcascade.calibration.replay.quality import NAMES, Quality
from mmcascade.calibration.search.chains import ORDERS
from mmcascade.calibration.search.plan import MAX_STAGES, Limits, Plan
from mmcascade.engine.console.command_line import one_line_errors, progress_bar
from mmcascade.engine.console.search_table import committees_table, coverage_lines, points_table
from mmcascade.engine.runs.search import SearchRun
from mmcascade.routing import CONFIDENCES, FUSIONS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('stores', nargs='+', metavar='STORE', help='folder(s) with scores of the same images')
    add('--out', required=True, help='folder for the results; must not exist, or be empty')
    add('--quality', help=f'what should be good: {NAMES} (default accuracy); of segmentations miou, and nothing else')
    add(
        '--policy',
        choices=['window', 'threshold'],
        help='who goes on: those in a window, or all below a threshold (default window; threshold with --convert)',
    )
    add('--confidence', choices=sorted(CONFIDENCES), help="default: that of the store's config, else max_prob")
    add('--fusion', choices=FUSIONS, help="default: that of the store's config, else prob")
    add('--max-stages', type=int, default=MAX_STAGES, help=f'longest chain (default {MAX_STAGES})')
    add('--order', choices=ORDERS, default='cost', help='cost: no stage after a more expensive one; any: all orders')
    add('--max-cost', '--max-macs', type=float, help='highest mean cost per image')
    add('--max-worst-case', type=float, help='highest cost of an image that runs the whole chain')
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
        default=Plan.max_settings,
        help=f'evaluate about so many settings at most (default {Plan.max_settings:g})',
    )
    add('--seed', type=int, default=0, help='of the division of the images into halves')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with one_line_errors(ValueError, OSError, interrupted='nothing was written'):
        costs = json.loads(Path(args.costs).read_text()) if args.costs else None
        run = SearchRun.open(
            args.stores, args.out, costs, args.confidence, args.fusion, seed=args.seed, points=args.points
        )
        plan = make_plan(args, run)
        if args.compare_confidences:
            for name, area in run.confidences(args.compare_confidences).items():
                print(f'{name:12} mean accuracy over all shares {100 * area:.3f} %')
            return print(f'{args.out}/confidences.png')
        if args.convert:
            result = run.converted(args.convert, 'accuracy' if args.match == 'accuracy' else 'cost', plan)
        else:
            with progress_bar('chains') as progress:
                result = run.front(plan, progress)
    points_table(result).show()
    if result.get('committees'):
        committees_table(result).show()
    print('\n'.join(coverage_lines(result)))
    if result['configs'] is None:
        print('the store keeps no config (fill it again with tools/calibrate.py), so no configs were written')
    configs = ', and a folder with a config for each point' if result['configs'] else ''
    print(f'{args.out}: pareto.csv, pareto.json, pareto.png{configs}')


def make_plan(args: argparse.Namespace, run: SearchRun) -> Plan:
    own = run.candidates.source.quality
    if own.kind == 'mIoU' and args.min_accuracy is not None:
        raise ValueError(
            f'--min-accuracy is for stores of scores, and {args.stores[0]} holds cells: give the lowest mIoU with '
            '--reach'
        )
    return Plan(
        Quality.parse(args.quality) if args.quality else own,
        Limits(args.max_cost, args.max_worst_case, args.min_accuracy, args.reach),
        max_stages=args.max_stages,
        order=args.order,
        policy=args.policy or ('threshold' if args.convert else 'window'),
        max_settings=args.max_settings,
        max_cells=args.max_cells,
    )


if __name__ == '__main__':
    main()
