# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A finished build on the terminal."""

from __future__ import annotations

import textwrap

from mmcascade._system.tables import terminal_width
from mmcascade.comparison.build.request import PAGE, Built
from mmcascade.evaluation.standings.table import standings_table
from mmcascade.visualization.report.findings.searched import chains_table, chosen_sentence


def show(built: Built) -> None:
    """Print the table, what is accepted, and whether the cascade pays."""
    standings, width = built.standings, terminal_width()
    print(f'\non the {standings.units} images of the report part, with 95 % intervals:\n')
    standings_table(standings, built.members[-1]).show()
    print()
    lines = [built.verdict]
    if built.searched is not None:
        print('the chosen chain beside the nearest of those that lost:\n')
        chains_table(built.searched, most=6).show()
        print()
        lines.insert(0, chosen_sentence(built.searched))
    if built.deployed is not None:
        coverage, risk = built.deployed
        lost = f'of which {100 * risk:.1f} % are wrong'
        if 'miou' in built.calibration.measured:
            lost = f'with {100 * risk:.1f} % of the pixels of an image wrong on average'
        told = (
            f'It accepts {100 * coverage:.1f} % of these images, {lost}'
            if coverage
            else 'It accepts none of these images'
        )
        lines.append(f'{told} (asked for: {built.calibration.accept_target}).')
    if (promise := built.calibration.guarantee) is not None:
        lines.append(
            promise.refusal()
            if promise.threshold is None
            else f'Certified: a risk of at most {100 * promise.risk:g} % on unseen images of this kind, except with '
            f'probability {promise.delta:g}.'
        )
    if (page := built.config.parent / PAGE).is_file():
        lines.append(f'Look at it: {page}')
    lines.append(f'Next: mmcascade test {built.config}')
    # Paths stay whole, for people to copy.
    filled = (textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in lines)
    print('\n'.join(filled))
