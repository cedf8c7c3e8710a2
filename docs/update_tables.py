# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Write the measured tables and pictures into README.md and the docs, from the files in benchmarks/results.

python docs/update_tables.py           rewrite what is between the markers
python docs/update_tables.py --check   say what is out of date, and exit with 1 if something is
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mmcascade._system.tables import Column, Table
from mmcascade.comparison.classification.plots import plot_policies
from mmcascade.comparison.classification.table import claim_sentences, systems_table
from mmcascade.comparison.ood.table import ood_sentences, ood_table, report_lines
from mmcascade.comparison.segmentation import table as segmentation_table
from mmcascade.demo.quickstart import LABELS
from mmcascade.demo.self_cascade import views_table
from mmcascade.engine.console import search_table
from mmcascade.visualization.style import save

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'docs'))
import calibration_tables  # noqa: E402

RESULTS = ROOT / 'benchmarks' / 'results'
IMAGES = ROOT / 'docs' / 'en' / 'images'


def quickstart(results: dict[str, Any]) -> str:
    machine = results['machine']
    where = (
        f'Measured by `make demo` on {machine["cores"]} cores of {machine["cpu"]}, torch {machine["torch"]}, '
        'without a GPU. Accept thresholds and windows come from the calibration split, every figure from the test '
        'split of 10,000 images.'
    )
    return '\n\n'.join([systems_table(results['systems'], LABELS).as_markdown(), *claim_sentences(results), where])


def peers(results: dict[str, Any]) -> str:
    machine, rows = results['machine'], results['rows']
    names = [Column(title, left=True) for title in ('stages', 'system', 'batch sizes')]
    table = Table.of(
        [*names, 'images/s', 'share of the limit', 'same decisions'],
        [
            [
                row['group'],
                row['name'],
                row['batches'],
                f'{row["units_per_s"]:.1f} ({row["lowest"]:.1f} to {row["highest"]:.1f})',
                f'{row["share_of_limit"]:.1%} ({row["share_lowest"]:.1%} to {row["share_highest"]:.1%})',
                'yes' if row['same_decisions'] else 'no',
            ]
            for row in rows
        ],
    )
    load = max(max(row['load_before'], row['load_after']) for row in rows)
    where = (
        f'Measured on {machine["cores"]} cores of {machine["cpu"]} with {machine["threads"]} thread(s), torch '
        f'{machine["torch"]}, without a GPU, on {rows[0]["images"]} images in memory, loader batch '
        f'{rows[0]["loader_batch"]}; median of {rows[0]["repeats"]} rounds (lowest to highest). Load of the '
        f'machine: up to {load:.1f}.'
    )
    return f'{table.as_markdown()}\n\n{where}'


def segmentation(results: dict[str, Any]) -> str:
    machine, images = results['machine'], results['images']
    tables = [
        table.as_markdown()
        for table in (segmentation_table.systems_table(results), segmentation_table.drives_table(results))
        if table is not None
    ]
    where = (
        f'Thresholds from {images["calibration"]} images, figures from {images["test"]} test images, with 95 % '
        f'bootstrap intervals over images. Measured on {machine["cores"]} cores of {machine["cpu"]}, torch '
        f'{machine["torch"]}, without a GPU.'
    )
    best = (
        f'The best mIoU within {results["budget"]:g} times the cost of {results["members"][1]}, with thresholds '
        'chosen on the very images that are measured, so by hindsight:'
    )
    return '\n\n'.join(
        [
            *tables,
            *segmentation_table.sentences(results),
            best,
            segmentation_table.hindsight_table(results).as_markdown(),
            where,
        ]
    )


def segmentation_speed(results: dict[str, Any]) -> str:
    machine, rows = results['machine'], results['rows']
    table = Table.of(
        [
            'members',
            Column('threads'),
            Column('system', left=True),
            'ms per image',
            Column('times the larger member', '.2f'),
            Column('outside', '.1%'),
            Column('peak memory, MiB', '.0f'),
        ],
        [
            [
                f'`{row["config"]}`',
                row['threads'],
                row['name'],
                f'{row["ms_per_image"]:.0f} ({row["lowest"]:.0f} to {row["highest"]:.0f})',
                row['times_whole'],
                row['outside_members'],
                row['peak_mib'],
            ]
            for row in rows
        ],
    )
    return table.as_markdown() + (
        f'\n\nMedian (lowest to highest) on {machine["cores"]} cores of {machine["cpu"]} with torch '
        f"{machine['torch']}. 'Outside' is the share of the time that routing, cutting, fusing and "
        'pasting take; the memory is what labelling one image adds to the process.'
    )


def strides(results: dict[str, Any]) -> str:
    row = results['rows'][0]
    table = rows_of(results, {'stride': '', 'mean': '.5f', 'largest': '.5f', 'same_side': '.1%'})
    return table + (
        f'\n\nDifference to stride 1 over {row["cells"]} cells of `{row["config"]}` after stage 0, and the '
        f'share of them on the same side of a threshold that {row["share"]:.0%} lie below.'
    )


def loop_rows(results: dict[str, Any]) -> str:
    table = Table.of(
        ['', 'seconds', 'of loading and limit'],
        [
            [
                row['name'],
                f'{row["seconds"]:.2f} ({row["lowest"]:.2f} to {row["highest"]:.2f})',
                f'{row["ratio"]:.2f} ({row["ratio_lowest"]:.2f} to {row["ratio_highest"]:.2f})',
            ]
            for row in results['rows']
        ],
    )
    machine, row = results['machine'], results['rows'][0]
    return table.as_markdown() + (
        f'\n\n{row["images"]:,} images of 28 x 28, loader batch {row["loader_batch"]}, on {machine["cores"]} cores of '
        f'{machine["cpu"]} with {machine["threads"]} thread(s), torch {machine["torch"]}; median of {row["repeats"]} '
        f'rounds (lowest to highest). Load of the machine: {row["load_before"]} before, {row["load_after"]} after.'
    )


def metrics_speed(results: dict[str, Any]) -> str:
    """The scores that others were run on, too; of the rest the worst."""
    same = {True: 'yes', False: 'no', None: ''}
    table = Table.of(
        [
            'library',
            Column('summary', left=True),
            'seconds',
            Column('times numpy.sort', '.1f', missing=''),
            Column('bytes per unit', '.0f', missing=''),
            'same value',
        ],
        [
            [
                row['library'],
                row['summary'],
                'not installed' if row['seconds'] is None else f'{row["seconds"]:.2f} (to {row["slowest"]:.2f})',
                row['times_sort'],
                row['bytes_per_unit'],
                same[row['same_value']],
            ]
            for row in results['rows']
            if row['scores'] == 'probabilities'
        ],
    )
    ours = [row for row in results['rows'] if row['library'] == 'mmcascade']
    worst: dict[str, float] = {}
    for row in ours:
        worst[row['scores']] = max(row['times_sort'], worst.get(row['scores'], 0))
    loads = [row['load'] for row in ours]
    machine = results['machine']
    sort = min(row['sort_seconds'] for row in ours if row['scores'] == 'probabilities')
    return table.as_markdown() + (
        f'\n\n{ours[0]["size"]:,} units, probabilities in float64, on one core of {machine["cpu"]}, numpy '
        f'{machine["numpy"]}; the shortest of {ours[0]["repeats"]} runs (to the longest), in turns with sorts of the '
        f'same scores, which take {sort:.3f} s. '
        'Our slowest summary takes '
        + ', '.join(f'{times:.1f} times the sort with {kind}' for kind, times in worst.items())
        + f'. Load of the machine: {min(loads)} to {max(loads)}.'
    )


def router_overhead(results: dict[str, Any]) -> str:
    rows = [['what', 'median', 'lowest to highest']]
    for row in results['rows']:
        if row['repeats'] > 1:  # else it is no time
            rows.append(
                [
                    row['measure'].replace('batch any', 'batch of all images'),
                    f'{row["median"]:.3g} {row["unit"]}',
                    f'{row["lowest"]:.3g} to {row["highest"]:.3g}',
                ]
            )
    kept = [
        f'{row["median"]:.0f} by {row["measure"].removeprefix("memory growth: ")}'
        for row in results['rows']
        if row['unit'].startswith('bytes')
    ]
    loads = [row['load'] for row in results['rows']]
    return Table.of(rows[0], rows[1:]).as_markdown() + (
        f'\n\nOne thread of {results["machine"]["cpu"]}, torch {results["machine"]["torch"]}. Load of the machine: '
        f'{min(loads)} to {max(loads)}.\n\nBytes an image that a test keeps: {", ".join(kept)}.'
    )


def ood(results: dict[str, Any]) -> str:
    return '\n'.join(report_lines(results['ood'], ['small0', 'small1'], ['large']))


def search_of(section: str) -> Callable[[dict[str, Any]], str]:
    """Renders the front in a section of the search over the stages of the quickstart."""

    def render(results: dict[str, Any]) -> str:
        fronts = results[section] if isinstance(results[section], list) else [results[section]]
        tables = [search_table.points_table(front).as_markdown() for front in fronts]
        covered = ['- ' + line for line in search_table.coverage_lines(fronts[0])]
        return '\n\n'.join([*tables, *(['What was evaluated:\n\n' + '\n'.join(covered)] if covered else [])])

    return render


def settings_per_second(results: dict[str, Any]) -> str:
    rows = [['', 'settings', 'seconds', 'settings per second', 'seconds per setting by replay']]
    rows += [
        [
            row['name'],
            f'{row["settings"]:,}',
            f'{row["seconds"]:.3f}',
            f'{row["settings_per_s"]:,.0f}',
            f'{row["replay_seconds_per_setting"]:.3f}',
        ]
        for row in results['rows']
    ]
    return Table.of(rows[0], rows[1:]).as_markdown()


def search_speed(results: dict[str, Any]) -> str:
    return (
        settings_per_second(results) + f'\n\n{results["rows"][0]["units"]:,} units on one core of '
        f'{results["machine"]["cpu"]}, sorting included; `pair_risk_curves` gives coverage and risk at 100 accept '
        'thresholds for each setting (`benchmarks/search_speed.py`).'
    )


def cell_search_speed(results: dict[str, Any]) -> str:
    first = results['rows'][0]
    return (
        settings_per_second(results) + f'\n\n{first["cells"]:,} cells with {first["classes"]} classes on one core '
        f'of {results["machine"]["cpu"]}, other work on the machine; each setting with its exact mIoU and cost '
        '(`benchmarks/cell_search_speed.py`).'
    )


def views(results: dict[str, Any]) -> str:
    machine = results['machine']
    return views_table(results).as_markdown() + (
        f"\n\n'Gain kept' is the share of the accuracy that all views add to view 0, with its paired 95 % interval; "
        f"'reached' is the share of the images that ran each view. Images per second on {machine['cores']} cores of "
        f'{machine["cpu"]}, torch {machine["torch"]}, {machine["threads"]} thread(s), other work on the machine.'
    )


def rows_of(results: dict[str, Any], columns: dict[str, str]) -> str:
    """The columns of a benchmark's rows, each with the format of its cells."""
    made = [Column(key, form, left=not form) for key, form in columns.items()]
    return Table.of(made, [[row[key] for key in columns] for row in results['rows']]).as_markdown()


def device_views(results: dict[str, Any]) -> str:
    machine, row = results['machine'], results['rows'][0]
    table = rows_of(
        results, {'cascade': '', 'views': '', 'loader': '.1f', 'all': '.1f', 'loader_gain': '.2f', 'gain': '.2f'}
    )
    return table + (
        f'\n\nImages per second of {row["model"]} on {row["device"]}, {machine["cores"]} cores of '
        f'{machine["cpu"]}, {machine["threads"]} thread(s), loader batch {row["batch_size"]}, '
        f'{row["workers"]} worker(s), other work on the machine.'
    )


def cityscapes_macs(results: dict[str, Any]) -> str:
    rows = [dict(row, config=f'`{row["config"]}`', break_even=min(1.0, row['break_even'])) for row in results['rows']]
    return rows_of(
        dict(results, rows=rows),
        {
            'config': '',
            'stage0': '.1f',
            'cells': '',
            'margin': '',
            'cell': '.1f',
            'cell_margin0': '.1f',
            'cell_margin64': '.1f',
            'all_second': '.1f',
            'break_even': '.0%',
        },
    )


def ood_lite(results: dict[str, Any]) -> str:
    systems = results['systems']
    sentences = ood_sentences(systems, ['lite0', 'lite1', 'lite2'], ['lite1', 'lite2'])
    return '\n'.join([ood_table(systems).as_markdown(), '', *(f'- {sentence}' for sentence in sentences)])


#: Per marker: the results file and the function that renders it.
TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    'quickstart table': ('quickstart.json', quickstart),
    'search table': ('search_quickstart.json', search_of('coverage')),
    'convert table': ('search_quickstart.json', search_of('convert')),
    'committees table': (
        'search_quickstart.json',
        lambda results: search_table.committees_table(results['accuracy']).as_markdown(),
    ),
    'confidences table': (
        'search_quickstart.json',
        lambda results: search_table.confidences_table(results['confidences']).as_markdown(),
    ),
    'search speed table': ('search_speed.json', search_speed),
    'cell search speed table': ('cell_search_speed.json', cell_search_speed),
    'ood table': ('quickstart.json', ood),
    'lite ood table': ('ood_lite.json', ood_lite),
    'self-cascade table': ('self_cascade.json', views),
    'device views table': ('device_views.json', device_views),
    'view agreement table': (
        'view_agreement.json',
        lambda results: rows_of(
            results,
            {
                'size': '',
                'same_label': '.2f',
                'top1_pipeline': '.2f',
                'top1_device': '.2f',
                'mean_change_of_max_prob': '.3f',
            },
        ),
    ),
    'peers table': ('peers.json', peers),
    'end to end table': ('end_to_end.json', loop_rows),
    'metrics speed table': ('metrics_speed.json', metrics_speed),
    'router overhead table': ('router_overhead.json', router_overhead),
    'targets table': ('operating_points_2.json', calibration_tables.targets),
    'shifted table': ('operating_points_2.json', calibration_tables.shifted),
    'reached or all table': (
        'operating_points_3.json',
        lambda results: calibration_tables.reached_or_all(
            results, json.loads((RESULTS / 'operating_points_3_all.json').read_text())
        ),
    ),
    'guarantee table': ('guarantee.json', calibration_tables.guarantee),
    'score maps table': ('score_maps.json', calibration_tables.score_maps),
    'badly scaled member': ('score_maps_scaled.json', calibration_tables.badly_scaled),
    'canvases table': ('quickstart_seg.json', segmentation),
    'camvid table': ('camvid.json', segmentation),
    'segmentation speed table': ('segmentation.json', segmentation_speed),
    'stride table': ('cell_confidence_stride.json', strides),
    'Cityscapes costs table': ('cityscapes_macs.json', cityscapes_macs),
}


def _between(content: str, markers: re.Match[str]) -> str:
    return f'{markers[1]}\n{content}\n{markers[2]}'


def with_tables(text: str) -> str:
    """The text with everything between known markers made anew."""
    for name, (file, render) in TABLES.items():
        if f'<!-- {name} -->' in text:
            content = render(json.loads((RESULTS / file).read_text()))
            text = re.sub(
                f'(<!-- {name} -->).*?(<!-- end of {name} -->)',
                partial(_between, content),
                text,
                flags=re.DOTALL,
            )
    return text


def main() -> None:
    stale = []
    for path in (ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md')), *sorted((ROOT / 'configs').rglob('*.md'))):
        before = path.read_text()
        after = with_tables(before)
        if after != before:
            stale.append(str(path.relative_to(ROOT)))
            if '--check' not in sys.argv:
                path.write_text(after)
    if '--check' not in sys.argv:
        policies = json.loads((RESULTS / 'quickstart.json').read_text())['policies']
        save(plot_policies(policies), IMAGES / 'policies.png')
    if stale:
        print(('out of date: ' if '--check' in sys.argv else 'written: ') + ', '.join(stale))
    raise SystemExit(1 if stale and '--check' in sys.argv else 0)


if __name__ == '__main__':
    main()
