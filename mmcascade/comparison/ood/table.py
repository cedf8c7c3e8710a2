# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The tables of OOD detectors, and in words what to make of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmcascade._system.tables import Column, Table
from mmcascade.comparison.classification.table import LABELS as CASCADES

LABELS = {**CASCADES, 'adjusted': 'window cascade, adjusted'}

Systems = Mapping[str, Mapping[str, float]]


def ood_table(systems: Systems, tpr: str = '95') -> Table:
    """One row per system; percent, and MMACs per image.

    Args:
        systems: per system its metrics.
        tpr: the true positive rate at which the false positive rate is shown, in percent.
    """
    sets, known = ood_names(systems), next(iter(systems.values()))
    titles = {
        f'ood/{name}/{key}': f'{name} {title}'
        for name in sets
        for key, title in (('auroc', 'AUROC'), (f'fpr@tpr{tpr}', f'FPR@TPR{tpr}'), ('deployed_fpr', 'deployed FPR'))
    }
    titles |= {
        'ood/all/deployed_tpr': 'deployed TPR',
        'cost/id/macs': 'MMACs ID',
        **{f'cost/{name}/macs': f'MMACs {name}' for name in sets},
        'cost/mixture/macs': 'MMACs 1:1 mixture',
    }
    columns = {
        key: Column(title, '.2f', 1e3 if key.startswith('cost/') else 1)
        for key, title in titles.items()
        if key in known
    }
    rows = [[LABELS.get(system, system), *(metrics[key] for key in columns)] for system, metrics in systems.items()]
    return Table.of([Column('system', left=True), *columns.values()], rows)


def ood_names(systems: Systems) -> list[str]:
    """The OOD sets in some metrics, without their union."""
    keys = (key.split('/') for key in next(iter(systems.values())))
    return [key[1] for key in keys if key[0] == 'ood' and key[2] == 'auroc' and key[1] != 'all']


def ood_sentences(systems: Systems, members: list[str], larger: list[str]) -> list[str]:
    """What averaging and larger members do for each OOD set, good or bad.

    Args:
        systems: per system its metrics, with an 'ensemble' of the members.
        members: names of the ensemble's members, in order.
        larger: names of systems that cost more than the first member.
    """
    sentences = []
    for name in ood_names(systems):
        score = {system: metrics[f'ood/{name}/auroc'] for system, metrics in systems.items()}
        best = max(members, key=score.__getitem__)
        change = score['ensemble'] - score[best]
        verb = 'helps' if change > 0 else 'hurts' if change < 0 else 'changes nothing'
        sentences.append(
            f'{name}: averaging {verb}: AUROC {score["ensemble"]:.2f} for the ensemble, {score[best]:.2f} for its best '
            f'member {best}.'
        )
        for other in larger:
            if score[other] < score[members[0]]:
                sentences.append(
                    f'{name}: the larger member {other} is the worse detector: AUROC {score[other]:.2f}, '
                    f'against {score[members[0]]:.2f} of {members[0]}.'
                )
    return sentences


def report_lines(part: Mapping[str, Any], members: list[str], larger: list[str]) -> list[str]:
    """Table and sentences for every target of a part 'ood' of results.json."""
    lines = []
    for target, systems in part['targets'].items():
        tpr = f'{100 * float(target.partition("=")[2]):g}'
        lines += [
            '',
            f'OOD detection by {part["confidence"]}, placed at {target} on in-distribution data alone:',
            '',
            ood_table(systems, tpr).as_markdown(),
        ]
    return [*lines, '', *(f'- {sentence}' for sentence in ood_sentences(systems, members, larger))]
