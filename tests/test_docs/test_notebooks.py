# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The notebooks of the docs run from their first cell to their last."""

from __future__ import annotations

import pytest

from tests.support import ROOT

NOTEBOOKS = sorted((ROOT / 'docs' / 'en' / 'notebooks').glob('*.ipynb'))

pytestmark = pytest.mark.slow


@pytest.mark.parametrize('path', NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_runs(path, tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip('nbformat'), pytest.importorskip('nbclient')
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get('outputs') for cell in notebook.cells)  # what is stored is what was written
    nbclient.NotebookClient(notebook, timeout=600, resources={'metadata': {'path': str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', [])]
    told = [output.text for output in outputs if output.get('name') == 'stderr']
    assert not [text for text in told if 'IProgress not found' not in text]  # tqdm's wish for widgets in a notebook
    assert any('image/png' in output.get('data', {}) for output in outputs)
    if path.stem == 'own_folder':
        text = ''.join(output.get('text', '') for output in outputs)
        assert 'coverage at 2 % risk' in text and 'the large network ran on' in text
        assert (tmp_path / 'my_cascade' / 'calibration.json').is_file()


def test_there_is_one():
    assert NOTEBOOKS
