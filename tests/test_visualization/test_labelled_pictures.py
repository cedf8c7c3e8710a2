# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""In every picture that names points, with the results that are committed: no name stands at another's marker."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.axes import Axes

from mmcascade.comparison.classification import plots
from mmcascade.comparison.segmentation import plot as segmentation
from mmcascade.visualization import search_plot
from mmcascade.visualization.style import root_figure
from tests.support import ROOT


def results_of(name: str) -> dict:
    return json.loads((ROOT / 'benchmarks' / 'results' / f'{name}.json').read_text())


def quality(key: str) -> Callable[[], object]:
    return lambda: plots.plot_quality_against_macs(results_of('quickstart')['systems'], key, key)


def segmented(name: str) -> Callable[[], object]:
    return lambda: segmentation.plot_miou_against_macs(results_of(name))


def searched() -> object:
    """Many singles whose costs and qualities lie close, as views of the same members do."""
    generator = np.random.default_rng(0)

    def performance(cost: float, reached: float) -> SimpleNamespace:
        return SimpleNamespace(cost=cost, quality=reached)

    costs = np.repeat([6e5, 1.2e6, 2.2e6], 3) * generator.uniform(1, 1.02, 9)
    singles = {f'member{k}@{k % 3}@flip': performance(cost, 0.86 + 0.002 * (k % 3)) for k, cost in enumerate(costs)}
    front = [
        SimpleNamespace(report=performance(cost, 0.86 + 0.01 * k), select=performance(cost, 0.865 + 0.01 * k))
        for k, cost in enumerate(np.geomspace(6e5, 3e6, 6))
    ]
    return search_plot.plot_front(front, singles, {'two': performance(1.9e6, 0.88)}, 'accuracy', 'multiply-adds')


PICTURES = {
    'coverage': (plots, quality('selective/coverage@risk5')),
    'accuracy': (plots, quality('accuracy/top1')),
    'CamVid': (segmentation, segmented('camvid')),
    'canvases': (segmentation, segmented('quickstart_seg')),
    'search': (search_plot, searched),
}


@pytest.mark.parametrize('name', PICTURES)
def test_no_name_stands_at_the_marker_of_another(name, monkeypatch):
    module, draw = PICTURES[name]
    kept: list[tuple[Axes, list, list, list]] = []
    place = module.place_labels

    def watched(axis, labels, *args, **options):
        texts = place(axis, labels, *args, **options)
        # Points without a name come last, in the places of others.
        kept.append((axis, sorted(labels, key=lambda label: not label.text), texts, list(options.get('lines', ()))))
        return texts

    monkeypatch.setattr(module, 'place_labels', watched)
    draw()
    ((axis, labels, texts, bars),) = kept
    assert len(texts) >= 5 and len({label.text for label in labels if label.text}) == len(texts)
    figure = root_figure(axis)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer).extents for text in texts]
    spots = axis.transData.transform([(label.x, label.y) for label in labels])
    lines = {tuple(a.xy) for a in axis.texts if a.get_text() == ''}
    for k, (box, label) in enumerate(zip(boxes, labels, strict=False)):
        away = np.linalg.norm(spots.clip(box[:2], box[2:]) - spots, axis=1)
        marker = label.radius * figure.dpi / 72
        near = [
            o for o in range(len(labels)) if o != k and away[o] < marker and np.linalg.norm(spots[o] - spots[k]) > 1
        ]
        assert not near, f'{label.text} stands at the marker of {labels[near[0]].text}'
        # Whose name it is can be seen: its marker is the nearest, or lies on the nearest, or a line leads there.
        nearer = away.min() < away[k] - 2 * marker
        assert not nearer or (label.x, label.y) in lines, f'{label.text} is nearer to another marker, and has no line'
    for one, other in itertools.combinations(boxes, 2):
        width, height = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
        assert max(width, 0) * max(height, 0) < 1
    for bar in bars:
        ends = axis.transData.transform(bar)
        along = np.concatenate([np.linspace(a, b, 200) for a, b in itertools.pairwise(ends)])
        for box, label in zip(boxes, labels, strict=False):
            crossed = ((along > box[:2] + 1) & (along < box[2:] - 1)).all(1)
            assert not crossed.any(), f'a line goes through {label.text}'
