# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""`make docs-images` makes every picture of the docs, and says which it cannot make."""

from __future__ import annotations

import runpy
import sys

import numpy as np
import pytest
from PIL import Image

from tests.support import ROOT


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'docs')
    found = runpy.run_path(str(ROOT / 'docs' / 'images.py'))
    # Those of the idea and the architecture know where they belong.
    kept = {'IMAGES': tmp_path / 'images', 'runpy': type(sys)('nothing')}
    kept['runpy'].run_path = lambda path: {'main': lambda: None}
    found['main'].__globals__.update(kept)
    kept['IMAGES'].mkdir()
    return found


def test_every_committed_picture_is_made_or_named_with_its_command(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['images.py', '--work-dirs', str(tmp_path)])
    script['main']()
    made = {path.name for path in (tmp_path / 'images').iterdir()}
    said = capsys.readouterr().out.splitlines()
    left = [line.partition(' stays as it is')[0] for line in said if 'make demo' in line]
    assert made and left and not made & set(left)
    committed = {path.name for path in (ROOT / 'docs' / 'en' / 'images').iterdir()}
    assert made | {*left, 'idea.svg', 'architecture.svg'} == committed


def test_cells_are_the_first_picture_of_the_demo_in_nearly_all_of_its_colours(script, tmp_path, monkeypatch):
    folder = tmp_path / 'quickstart_seg' / 'pictures' / 'of a run'
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 256, (2, 40, 60, 3)).astype(np.uint8)
    Image.fromarray(second).save(folder / '000004_b.png')
    Image.fromarray(first).save(folder / '000000_a.png')
    monkeypatch.setattr(sys, 'argv', ['images.py', '--work-dirs', str(tmp_path)])
    script['main']()
    with Image.open(tmp_path / 'images' / 'cells.png') as shown:
        apart = np.abs(np.asarray(shown.convert('RGB')).astype(int) - first)
    assert 0 < apart.max() <= 2


def test_committed_cells_are_small_and_have_the_colours_of_a_photograph():
    path = ROOT / 'docs' / 'en' / 'images' / 'cells.png'
    assert path.stat().st_size < 400_000
    with Image.open(path) as shown:
        assert len(np.unique(np.asarray(shown.convert('RGB')).reshape(-1, 3), axis=0)) > 500
