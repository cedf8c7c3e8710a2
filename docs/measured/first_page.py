# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The headline as the README has it."""

from __future__ import annotations

from typing import Any

from measured.headline import DATA, cascade_words, systems_by_name, time_of_last
from measured.intervals import kept, over_images
from mmcascade._system.tables import Column, Table


def readme(results: dict[str, Any]) -> str:
    """One narrow row per cascade, for the first page."""
    rows = []
    for gaps in results['differences']:
        systems = systems_by_name(results, gaps)
        alone = [systems[name]['coverage'] for name in ('first member', 'last member', 'ensemble')]
        rows.append(
            [
                cascade_words(gaps),
                ' / '.join(f'{value:.1f}' for value in alone),
                f'{systems["window"]["coverage"]:.1f}',
                f'{systems["window"]["times_last"]:.2f}',
                f'{systems["window"]["times_first"]:.2f}',
                time_of_last(results, gaps),
                kept(systems['window'], gaps, 'coverage'),
                over_images(gaps, 'window_minus_threshold', '+.1f'),
            ]
        )
    columns: list[Column | str] = [
        Column('cascade', left=True),
        'first / last / ensemble',
        'cascade',
        'cost / last',
        'cost / first',
        'time / last',
        "ensemble's gain kept, %",
        'better than a threshold by, at this risk',
    ]
    images = {DATA.get(row['data'], row['data']): row['test_images'] for row in results['differences']}
    where = ', '.join(f'{count:,} test images of {name}' for name, count in images.items())
    return (
        f'{Table.of(columns, rows).as_markdown()}\n\nShare of the images that can be accepted at '
        f'{results["differences"][0]["target"]:g} % errors among them, in percent, on {where}, with paired 95 % '
        'intervals. Some 20 % of the images go on; cost is multiply-adds, time that of eager PyTorch on one thread. '
        f'"Not determined": the ensemble\'s own gain may be none. {all_coverages(results)}'
    )


def all_coverages(results: dict[str, Any]) -> str:
    """That the window is worse over all coverages than at its own, of the photographs where that is so."""
    rows = [systems_by_name(results, gaps) for gaps in results['differences'] if gaps['data'] == 'cifar10']
    kept_of = {name: [systems[name]['kept_augrc'] for systems in rows] for name in ('window', 'threshold')}
    assert all(more > less for more, less in zip(kept_of['threshold'], kept_of['window'], strict=True))
    shares = {name: ', '.join(f'{share:.0f}' for share in found) for name, found in kept_of.items()}
    return (
        'Over all coverages (AUGRC) the threshold keeps more of the gain in every row of '
        f'{DATA["cifar10"]}: {shares["threshold"]} %, the window {shares["window"]} %.'
    )
