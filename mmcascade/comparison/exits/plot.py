# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Exits of a network, cascades of them, and other cascades on one picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmcascade.visualization.style import BESIDE, DASHES, GUIDE, ROLES, figure_of

_PANELS = (('coverage', 'coverage at {:g} % risk (%)'), ('accuracy', 'accuracy (%)'))
_POLICIES = {'window': ROLES['cascade'], 'threshold': ROLES['threshold'], 'random': ROLES['random']}
_OTHERS = {True: ROLES['member'], False: ROLES['cascade']}  # an exit alone, a cascade of other networks
_APART = 0.011  # between bars, of the greatest cost


def plot_exits(results: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Figure:
    """Coverage at the risk, and accuracy, against the multiply-adds of an image.

    Bars are 95 % intervals, of the exits by themselves and of one setting of each policy.

    Args:
        results: as :class:`~mmcascade.comparison.exits.comparison.ExitComparison` writes them.
        names: what the legend calls cascades of other networks, in place of the names of their configs.
    """
    figure, axes = figure_of(1, 2, size=(BESIDE[0], 4.3))
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
        _draw_intervals(axis, results['systems'], key)
        axis.set(xlabel='multiply-adds per image (M), mean', ylabel=label.format(risk))
    handles, labels = axes[1].get_legend_handles_labels()
    # Column by column: what has no policy, then each set of exits.
    order = sorted(range(len(labels)), key=lambda k: labels[k].partition(',')[0] in _POLICIES)
    figure.legend(
        [handles[k] for k in order],
        [labels[k] for k in order],
        loc='outside lower center',
        ncols=3,
        fontsize=8,
        frameon=False,
    )
    return figure


def _draw_intervals(axis: Axes, systems: Mapping[str, Any], key: str) -> None:
    """Bars of systems; those of policies, which cost about the same, stand beside each other."""
    wide = max(row['macs'] for row in systems.values()) / 1e6
    for name, row in systems.items():
        policy = name.partition(',')[0]
        role = _POLICIES.get(policy, _OTHERS[name.endswith('alone')])
        beside = (list(_POLICIES).index(policy) - 1) * _APART * wide if policy in _POLICIES else 0
        middle, low, high = (100 * row[key][end] for end in ('estimate', 'low', 'high'))
        ends = [[max(middle - low, 0)], [max(high - middle, 0)]]
        axis.errorbar(row['macs'] / 1e6 + beside, middle, yerr=ends, color=role.colour, elinewidth=0.8, capsize=2)
