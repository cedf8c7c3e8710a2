# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Every picture is as wide as a text with letters that can be read there, and shows all that it says."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from mmcascade.comparison.classification.plots import plot_policies, plot_quality_against_macs, plot_risk_coverage
from mmcascade.comparison.exits.plot import plot_exits
from mmcascade.comparison.ood.plot import plot_roc
from mmcascade.comparison.segmentation.plot import plot_miou_against_macs
from mmcascade.visualization.cell_plot import plot_cells
from mmcascade.visualization.search_plot import plot_confidences
from mmcascade.visualization.style import ALONE
from tests.test_visualization.test_labelled_pictures import results_of, searched

SYSTEMS = ('small0', 'small1', 'large', 'ensemble', 'cascade', 'threshold', 'random', 'adjusted')
#: Pixels of a picture that the site shows as wide as its text, and of the letters of that text.
TEXT_WIDTH, LETTERS = 736, 16


def replays() -> dict:
    generator = np.random.default_rng(0)
    return {
        name: SimpleNamespace(confidence=generator.random(400), label=generator.integers(0, 3, 400)) for name in SYSTEMS
    }


def roc() -> Figure:
    return plot_roc(replays(), np.array(['id'] * 200 + ['digits'] * 100 + ['photo-tiles'] * 100))


def risk_coverage() -> Figure:
    return plot_risk_coverage(replays(), np.random.default_rng(1).integers(0, 3, 400))


def confidences() -> Figure:
    generator = np.random.default_rng(2)
    names = ('max_prob', 'prob_gap', 'neg_entropy', 'logit_gap', 'oracle')
    return plot_confidences({name: 1 - np.sort(generator.random(300)) / 9 for name in names}, 'member0@0@flip')


def cells() -> Figure:
    labels = np.arange(64 * 128).reshape(64, 128) % 19
    boxes = [(x, y, x + 32, y + 32) for y in (0, 32) for x in (0, 32, 64, 96)]
    found = dict(bboxes=np.array(boxes), confidence=np.linspace(0.9, 1, 8), exit_stages=np.arange(8) % 2)
    title = 'accepted, 13.56 GMACs, mean exit stage 0.38, 38 % of the area reached stage 1'
    return plot_cells(
        np.zeros((64, 128, 3), np.uint8), labels, labels, found, [f'some class {k}' for k in range(19)], None, title
    )


PICTURES = {
    'policies': lambda: plot_policies(results_of('quickstart')['policies']),
    'quality': lambda: plot_quality_against_macs(results_of('quickstart')['systems']),
    'risk': risk_coverage,
    'ROC': roc,
    'exits': lambda: plot_exits(results_of('multi_exit')),
    'exits, CIFAR-10': lambda: plot_exits(results_of('multi_exit_cifar10')),
    'CamVid': lambda: plot_miou_against_macs(results_of('camvid')),
    'canvases': lambda: plot_miou_against_macs(results_of('quickstart_seg')),
    'confidences': confidences,
    'search': searched,
    'cells': cells,
}


@pytest.mark.parametrize('name', PICTURES)
def test_letters_are_large_enough_whole_and_apart(name, monkeypatch):
    figure = PICTURES[name]()
    figure.draw_without_rendering()  # which places everything
    drawn, draw = [], Text.draw
    monkeypatch.setattr(Text, 'draw', lambda text, renderer: (drawn.append(text), draw(text, renderer)))
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    texts = [text for text in drawn if text.get_visible() and text.get_text().strip()]
    assert len(texts) > 10
    width, height = figure.canvas.get_width_height()
    boxes = [text.get_window_extent(renderer).extents for text in texts]
    for text, box in zip(texts, boxes, strict=True):
        assert (box[:2] >= -1).all() and (box[2:] <= np.array([width, height]) + 1).all(), f'{text} is cut off'
        shown = text.get_fontsize() / 72 * figure.dpi * TEXT_WIDTH / width
        assert shown > 0.55 * LETTERS, f'{text} has letters of {shown:.1f} pixels'
    for (one, box), (other, second) in itertools.combinations(zip(texts, boxes, strict=True), 2):
        across, up = np.minimum(box[2:], second[2:]) - np.maximum(box[:2], second[:2])
        assert across < 1 or up < 1, f'{one} lies on {other}'


def test_two_panels_are_hardly_wider_than_one():
    for name in ('policies', 'risk', 'ROC', 'exits', 'confidences'):
        assert PICTURES[name]().get_figwidth() <= 1.25 * ALONE[0], name
