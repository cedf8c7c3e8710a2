# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Tables of systems beside each other, from the files of the quickstart, of self-cascades and of OOD detection."""

from __future__ import annotations

from typing import Any

from mmcascade.comparison.classification.table import claim_sentences, systems_table
from mmcascade.comparison.ood.table import ood_sentences, ood_table, report_lines
from mmcascade.demo.quickstart import LABELS
from mmcascade.demo.self_cascade import views_table


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
