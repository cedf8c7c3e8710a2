# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A benchmark as a picture."""

from __future__ import annotations

from matplotlib.figure import Figure

from mmcascade.engine.benchmark.result import BenchmarkResult
from mmcascade.visualization.style import BLUE, SKY, STAGE_COLOURS, figure_of


def plot_benchmark(result: BenchmarkResult) -> Figure:
    """Each member's time over its batch size; each system's throughput, with its limit."""
    figure, (left, right) = figure_of(columns=2, size=(5.5, 4))
    for number, member in enumerate(result.members):
        sizes = [int(size) for size in member.ms]
        colour = STAGE_COLOURS[number % len(STAGE_COLOURS)]
        left.plot(sizes, list(member.ms.values()), marker='.', color=colour, label=member.name)
        assert member.batch_size is not None  # one was found
        left.axvline(member.batch_size, color=colour, linestyle=':', linewidth=1)
    crops = any(member.name.endswith(' on cells') for member in result.members)
    left.set(
        xlabel='batch size (dotted: used)',
        ylabel='ms per image or crop' if crops else 'ms per image',
        title='members by themselves',
    )
    left.set_xscale('log', base=2)
    left.set_ylim(bottom=0)
    left.legend(frameon=False)
    systems = result.systems[::-1]
    names = [system.name for system in systems]
    speed = [system.units_per_s['median'] for system in systems]
    low = [median - system.units_per_s['lowest'] for median, system in zip(speed, systems, strict=True)]
    high = [system.units_per_s['highest'] - median for median, system in zip(speed, systems, strict=True)]
    right.barh(names, speed, xerr=[low, high], color=SKY, error_kw=dict(linewidth=1))
    limits = [median / system.share_of_limit['median'] for median, system in zip(speed, systems, strict=True)]
    right.plot(limits, names, '|', color=BLUE, markersize=18, label='limit')
    right.set(xlabel='images per second, without data loading', title=f'loader batch {result.batch_size}')
    right.legend(frameon=False, loc='lower left', bbox_to_anchor=(0.8, 1))
    return figure
