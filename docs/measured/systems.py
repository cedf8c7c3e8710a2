# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Tables of systems beside each other, from the files of the quickstart, of self-cascades and of OOD detection."""

from __future__ import annotations

from typing import Any

from measured.headline import DATA, chain_words
from mmcascade._system.tables import Column, Table, with_interval
from mmcascade.comparison.classification.table import claim_sentences, systems_table
from mmcascade.comparison.ood.table import ood_sentences, ood_table, report_lines
from mmcascade.demo.quickstart import LABELS
from mmcascade.demo.self_cascade import views_table

#: Which cascades, and which scores, are in the table of scores; the file has more.
SCORED_CHAINS = (
    ('quickstart', 'small0 > small1'),
    ('cifar10', 'resnet44 > resnet56'),
    ('cifar10', 'resnet20 > resnet32 > resnet44 > resnet56'),
    ('imagenet_subset', 'lite0 > lite1 > lite2'),
)
SCORES = ('energy', 'max_prob', 'neg_mutual_information', 'neg_variation_ratio', 'agreement')
SCORED_SETS = ('digits', 'photo-tiles')


def quickstart(results: dict[str, Any]) -> str:
    machine = results['machine']
    where = (
        f'Measured by `make demo` on {machine["cores"]} cores of {machine["cpu"]}, torch {machine["torch"]}, '
        'without a GPU. Accept thresholds and windows come from the calibration split, every figure from the test '
        'split of 10,000 images.'
    )
    return '\n\n'.join([systems_table(results['systems'], LABELS).as_markdown(), *claim_sentences(results), where])


def views(results: dict[str, Any]) -> str:
    machine = results['machine']
    return views_table(results).as_markdown() + (
        f"\n\n'Gain kept' is the share of the accuracy that all views add to view 0, with its paired 95 % interval; "
        f"'reached' is the share of the images that ran each view. Images per second on {machine['cores']} cores of "
        f'{machine["cpu"]}, torch {machine["torch"]}, {machine["threads"]} thread(s), other work on the machine.'
    )


def ood(results: dict[str, Any]) -> str:
    return '\n'.join(report_lines(results['ood'], ['small0', 'small1'], ['large']))


def ood_cifar10(results: dict[str, Any]) -> str:
    part = dict(confidence=results['confidence'], targets={results['target']: results['systems']})
    return '\n'.join(report_lines(part, ['resnet44', 'resnet56'], ['resnet56']))


def ood_lite(results: dict[str, Any]) -> str:
    systems = results['systems']
    sentences = ood_sentences(systems, ['lite0', 'lite1', 'lite2'], ['lite1', 'lite2'])
    return '\n'.join([ood_table(systems).as_markdown(), '', *(f'- {sentence}' for sentence in sentences)])


def ood_scores(results: dict[str, Any]) -> str:
    """AUROC and FPR of ensembles and cascades by each score, one table per cascade."""
    parts = []
    for data, chain in SCORED_CHAINS:
        rows = [
            row
            for row in results['rows']
            if (row['data'], row['chain'], row['temperatures']) == (data, chain, 'none')
            and row['score'] in SCORES
            and 'member' not in row['system']
        ]
        if not rows:
            continue
        columns: list[Column | str] = [
            Column('system', left=True),
            Column('score', left=True),
            *(f'{name} {title}' for name in SCORED_SETS for title in ('AUROC', 'FPR@TPR95')),
            Column('MMACs ID', '.4g'),
            Column('MMACs 1:1 mixture', '.4g'),
        ]
        cells = [
            [
                row['system'],
                f'`{row["score"]}`',
                *(_scored(row, f'{name}_{key}') for name in SCORED_SETS for key in ('auroc', 'fpr95')),
                row['mmacs_id'],
                row['mmacs_mixture'],
            ]
            for row in rows
        ]
        title = f'{DATA[data]}: {chain_words(chain)}, {rows[0]["images"]:,} photographs'
        parts.append(f'{title}:\n\n{Table.of(columns, cells).as_markdown()}')
    return '\n\n'.join(parts)


def _scored(row: dict[str, Any], key: str) -> str:
    """A figure with its interval, and a star where that of its change from the energy leaves out 0."""
    if row[key] is None:
        return 'not placed'
    change = row[f'{key}_change']
    star = '\\*' if change is not None and (change[1] > 0 or change[2] < 0) else ''
    value, low, high = row[key]
    return with_interval(value, low, high, '.1f') + star
