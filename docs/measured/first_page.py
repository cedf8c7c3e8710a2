# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The headline as the README has it."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from measured.headline import DATA, cascade_words, systems_by_name, time_of_last
from measured.intervals import kept, over_images
from mmcascade._system.tables import Column, Table


def readme(results: dict[str, Any]) -> str:
    """One narrow row for each of a few cascades, for the first page."""
    rows = []
    for gaps in nearest_and_farthest(results):
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
        'intervals. Of each data set the two members nearest in cost and the two farthest apart; all '
        f'{len(results["differences"])} cascades stand in the table named below. Some 20 % of the images go on; cost '
        'is multiply-adds, time that of eager PyTorch on one thread. '
        '"Not determined": the ensemble\'s own gain may be none. '
        f'{all_coverages(results)}'
    )


def nearest_and_farthest(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Of each data set the pair of members nearest in cost, and the pair farthest apart: a rule, and no choice."""
    pairs: dict[str, list[tuple[float, dict[str, Any]]]] = {}
    for gaps in results['differences']:
        if gaps['chain'].count('>') == 1:
            window = systems_by_name(results, gaps)['window']
            ratio = window['times_last'] / window['times_first']  # the first member's cost as a share of the last one's
            pairs.setdefault(gaps['data'], []).append((ratio, gaps))
    ends = [(max(found, key=itemgetter(0)), min(found, key=itemgetter(0))) for found in pairs.values()]
    return [gaps for both in ends for _, gaps in both]


def all_coverages(results: dict[str, Any]) -> str:
    """That the window is worse over all coverages than at its own, of the photographs where that is so."""
    rows = [systems_by_name(results, gaps) for gaps in results['differences'] if gaps['data'] == 'cifar10']
    kept_of = {name: [systems[name]['kept_augrc'] for systems in rows] for name in ('window', 'threshold')}
    assert all(more > less for more, less in zip(kept_of['threshold'], kept_of['window'], strict=True))
    shares = {name: ', '.join(f'{share:.0f}' for share in found) for name, found in kept_of.items()}
    return (
        f'Over all coverages (AUGRC) the threshold keeps more of the gain in all {len(rows)} cascades of '
        f'{DATA["cifar10"]}: {shares["threshold"]} %, the window {shares["window"]} %.'
    )
