# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import rgb_to_hsv, to_rgb
from matplotlib.figure import Figure

from mmcascade.visualization.labels import Label, place_labels
from mmcascade.visualization.standings_plot import looks_of
from mmcascade.visualization.style import (
    FORMATS,
    ROLES,
    STAGE_COLOURS,
    figure_of,
    ink,
    line_styles,
    panel,
    role_of,
    save,
    thinned,
)
from tests.support import ROOT

IMPORT_ALL = """
import importlib, pkgutil
import matplotlib
import mmcascade
before = matplotlib.get_backend(), matplotlib.rcParams.copy()
for module in pkgutil.walk_packages(mmcascade.__path__, 'mmcascade.'):
    if not module.name.endswith('__main__'):
        importlib.import_module(module.name)
import sys
assert 'mmcascade.visualization.calibration_plot' in sys.modules
assert 'mmcascade.comparison.classification.plots' in sys.modules
assert before == (matplotlib.get_backend(), matplotlib.rcParams), matplotlib.get_backend()
"""


def test_importing_any_module_leaves_matplotlib_as_it_was():
    done = subprocess.run(
        [sys.executable, '-c', IMPORT_ALL],
        env={**os.environ, 'MPLBACKEND': 'svg', 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_role_differs_in_colour_and_in_marker():
    assert set(ROLES) == {'member', 'larger member', 'ensemble', 'cascade', 'threshold', 'random'}
    assert len({role.colour for role in ROLES.values()}) == len({role.marker for role in ROLES.values()}) == len(ROLES)
    assert {role.colour for role in ROLES.values()} <= set(STAGE_COLOURS)


def as_protanope(colour: str) -> np.ndarray:
    """Linear RGB as a viewer without red cones sees it (Viénot et al. 1999)."""
    matrix = np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]])
    return matrix @ np.array(to_rgb(colour)) ** 2.2


def test_roles_are_told_apart_by_the_colour_blind():
    seen = [as_protanope(role.colour) for role in ROLES.values()]
    assert min(np.abs(a - b).max() for a, b in itertools.combinations(seen, 2)) > 0.05


def contrast_on_white(colour: str) -> float:
    """As WCAG 2.1 defines it."""
    red, green, blue = (v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour))
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


@pytest.mark.parametrize('colour', [*STAGE_COLOURS, 'black', '#ffffff'])
def test_letters_in_the_colour_of_a_role_can_be_read_and_keep_its_hue(colour):
    dark = ink(colour)
    assert contrast_on_white(dark) >= 4.45  # hex digits round
    if contrast_on_white(colour) >= 4.5:
        assert to_rgb(dark) == to_rgb(colour)
    hue, faded = rgb_to_hsv(to_rgb(colour)), rgb_to_hsv(to_rgb(dark))
    assert np.abs(hue - faded)[:2].max() < 0.01 and faded[2] <= hue[2]


@pytest.mark.parametrize(
    'system, role',
    [
        ('small0', 'member'),
        ('lite2', 'member'),
        ('large', 'larger member'),
        ('ensemble', 'ensemble'),
        ('all stages', 'ensemble'),
        ('stage 0 alone', 'member'),
        ('cascade', 'cascade'),
        ('cascade 120', 'cascade'),
        ('self-cascade', 'cascade'),
        ('threshold', 'threshold'),
        ('image level', 'threshold'),
        ('random', 'random'),
        ('random cells', 'random'),
    ],
)
def test_a_systems_role_is_known_by_its_name(system, role):
    assert role_of(system) is ROLES[role]


def test_systems_of_one_role_share_its_colour_and_differ_in_dashes():
    styles = line_styles(['small0', 'small1', 'cascade'])
    assert styles['small0']['color'] == styles['small1']['color'] == ROLES['member'].colour
    assert styles['small0']['linestyle'] != styles['small1']['linestyle']
    assert styles['cascade']['linestyle'] == '-' and styles['cascade']['label'] == 'cascade'


def test_a_picture_is_drawn_into_given_axes_or_into_a_figure_of_its_own():
    figure, axis = panel(None)
    assert panel(axis) == (figure, axis)
    outer = Figure()
    inner = outer.subfigures(1, 2)[0].subplots()
    assert panel(inner) == (outer, inner)
    axis.remove()
    with pytest.raises(ValueError, match='ax= are axes of a figure'):
        panel(axis)


def test_all_formats_are_written_and_the_same_figure_gives_the_same_bytes(tmp_path):
    def draw() -> Figure:
        figure, (axis,) = figure_of()
        axis.plot([0, 1], [1, 0], label='line')
        axis.legend()
        return figure

    first = save(draw(), tmp_path / 'a.png', FORMATS)
    assert [path.name for path in first] == ['a.png', 'a.pdf', 'a.svg']
    starts = [path.read_bytes()[:8] for path in first]
    assert starts[0].startswith(b'\x89PNG') and starts[1].startswith(b'%PDF') and starts[2].startswith(b'<?xml')
    assert '>line</text>' in first[2].read_text()  # letters, not outlines
    second = save(draw(), tmp_path / 'b' / 'a.png', FORMATS)  # the folder is made
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert save(draw(), tmp_path / 'c.svg') == [tmp_path / 'c.svg']
    with pytest.raises(ValueError, match="written as png, pdf, svg, got 'jpg'"):
        save(draw(), tmp_path / 'a.jpg')
    with pytest.raises(ValueError, match="got '' for"):
        save(draw(), tmp_path / 'a')


def test_a_curve_keeps_its_ends_and_its_shape():
    x = np.arange(50_001)
    kept, square = thinned(x, x**2)
    assert len(kept) <= 2000 and kept[0] == 0 and kept[-1] == 50_000
    np.testing.assert_array_equal(square, kept**2)
    assert thinned(x[:2000])[0] is not None and len(thinned(x[:2000])[0]) == 2000


def boxes(texts, axis) -> np.ndarray:
    renderer = axis.figure.canvas.get_renderer()
    return np.array([text.get_window_extent(renderer).extents for text in texts])


def overlap(a, b) -> float:
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    return max(width, 0) * max(height, 0)


@pytest.mark.parametrize('seed', range(6))
def test_labels_hide_neither_each_other_nor_a_point_and_stay_inside(seed):
    generator = np.random.default_rng(seed)
    spread = generator.choice([0.02, 0.1, 1.0])
    points = 0.5 + spread * generator.normal(size=(8, 2))
    figure, (axis,) = figure_of()
    axis.plot(*points.T, 'o')
    axis.margins(0.2)
    labels = [Label(x, y, f'system {k}') for k, (x, y) in enumerate(points.tolist())]
    texts = place_labels(axis, labels)
    assert [text.get_text() for text in texts] == [label.text for label in labels]
    figure.canvas.draw()
    found = boxes(texts, axis)
    for a, b in itertools.combinations(found, 2):
        assert overlap(a, b) < 1
    spots = axis.transData.transform(points)
    for k, box in enumerate(found):
        for other, spot in enumerate(spots):
            if other != k:
                assert overlap(box, np.r_[spot - 4, spot + 4]) < 1
    frame = axis.get_window_extent().extents
    assert (found[:, :2] >= frame[:2] - 1).all() and (found[:, 2:] <= frame[2:] + 1).all()


def test_a_lone_label_stands_beside_its_point():
    figure, axis = panel(None)
    axis.plot([1], [2], 'o')
    (text,) = place_labels(axis, [Label(1, 2, 'here')])
    figure.canvas.draw()
    (box,) = boxes([text], axis)
    spot = axis.transData.transform((1, 2))
    assert np.linalg.norm(spot.clip(box[:2], box[2:]) - spot) < 20
    assert overlap(box, np.r_[spot - 5, spot + 5]) == 0
    assert place_labels(axis, []) == []


def test_a_notebook_shows_a_figure_that_pyplot_does_not_know():
    figure, (axis,) = figure_of()
    axis.plot([1, 2])
    assert figure._repr_png_().startswith(b'\x89PNG')


def test_the_systems_of_a_cascade_have_their_roles_and_other_systems_are_told_apart():
    own = looks_of(['first', 'second', 'last', 'ensemble', 'cascade'])
    assert [role.name for role, _ in own.values()] == ['member', 'member', 'larger member', 'ensemble', 'cascade']
    assert own['first'][1] != own['second'][1]
    assert looks_of(['one', 'ensemble', 'cascade'])['one'][0] is ROLES['member']
    others = looks_of([f'network{k}' for k in range(8)])
    assert len({(role.colour, str(dashes)) for role, dashes in others.values()}) == 8
