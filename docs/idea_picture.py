# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Draw the idea in one picture, docs/en/images/idea.svg: a window around the decision, and who goes on.

python docs/idea_picture.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmcascade.visualization.style import GREEN, GUIDE, ORANGE, VERMILION, figure_of, save

TARGET = Path(__file__).resolve().parent / 'en' / 'images' / 'idea.svg'
LOW, TAU, HIGH = 0.42, 0.58, 0.72


def main() -> None:
    figure, (axis,) = figure_of(size=(8.2, 2.9))
    x = np.linspace(0.02, 0.995, 400)
    right, wrong = 4.5 * x**5 + 0.25, 0.95 * np.exp(-(((x - 0.4) / 0.24) ** 2)) + 0.05
    axis.fill_between(x, right, color=GREEN, alpha=0.35, linewidth=0)
    axis.fill_between(x, wrong, color=VERMILION, alpha=0.55, linewidth=0)
    axis.axvspan(LOW, HIGH, color=ORANGE, alpha=0.3)
    axis.axvline(TAU, ymax=0.8, color='black', linewidth=1.6)
    axis.set(xlim=(0, 1), ylim=(0, 5.4), yticks=[], xlabel='confidence of the cheap network')
    for side in ('left', 'top', 'right'):
        axis.spines[side].set_visible(False)
    for place, text in (
        ((LOW) / 2, 'reject\ncheap network alone'),
        ((LOW + HIGH) / 2, 'too close to call\nask a dearer network'),
        ((1 + HIGH) / 2, 'accept\ncheap network alone'),
    ):
        axis.text(place, 4.95, text, ha='center', va='center', fontsize=11)
    axis.text(0.93, 1.7, 'right', color='#00543d', fontsize=11, ha='center')
    axis.text(0.27, 0.35, 'wrong', color='#7a2f00', fontsize=11, ha='center')
    axis.annotate('decision', (TAU, 3.1), (TAU + 0.015, 3.1), fontsize=10, va='center')
    axis.axhline(0, **GUIDE)
    save(figure, TARGET)


if __name__ == '__main__':
    main()
