# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Exits of a network, cascades of them, and other cascades on one picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from mmcascade.visualization.style import DASHES, GUIDE, ROLES, figure_of

_PANELS = (('coverage', 'coverage at {:g} % risk (%)'), ('accuracy', 'accuracy (%)'))
_POLICIES = {'window': ROLES['cascade'], 'threshold': ROLES['threshold'], 'random': ROLES['random']}


def plot_exits(results: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Figure:
    """Coverage at the risk, and accuracy, against the multiply-adds of an image.

    Args:
        results: as :class:`~mmcascade.comparison.exits.comparison.ExitComparison` writes them.
        names: what the legend calls cascades of other networks, in place of the names of their configs.
    """
    figure, axes = figure_of(1, 2, size=(6.4, 5.2))
    risk = 100 * float(results['target'].partition('=')[2])
    alone = [row for name, row in results['systems'].items() if name.endswith('alone')]
    for axis, (key, label) in zip(axes, _PANELS, strict=True):
        axis.plot(
            [row['macs'] / 1e6 for row in alone],
            [100 * row[key]['estimate'] for row in alone],
            label='each exit alone',
            **ROLES['member'].line | dict(marker=ROLES['member'].marker, linewidth=0.8),
        )
        for number, (name, policies) in enumerate(results['curves'].items()):
            for policy, points in policies.items():
                other = list(policies) == ['window']  # a cascade of other networks
                axis.plot(
                    [point['macs'] / 1e6 for point in points],
                    [100 * point[key] for point in points],
                    label=(names or {}).get(name, name) if other else f'{policy}, {name}',
                    **_POLICIES[policy].line | dict(linestyle=DASHES[number % len(DASHES)]),
                )
        if key == 'accuracy':
            budgeted = results['budgeted']
            axis.plot(
                [point['macs'] / 1e6 for point in budgeted],
                [100 * point[key] for point in budgeted],
                label='geometric exits, all exits',
                **GUIDE | dict(linewidth=1.6),
            )
        axis.set(xlabel='multiply-adds per image (M), mean', ylabel=label.format(risk))
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=3, fontsize=8, frameon=False)
    return figure
