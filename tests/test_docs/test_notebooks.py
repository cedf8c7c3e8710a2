# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The notebooks of the docs run from their first cell to their last, and hold what they then print and draw."""

from __future__ import annotations

import re
import runpy

import pytest

from tests.support import ROOT

nbformat = pytest.importorskip('nbformat')
pytest.importorskip('nbclient')

NOTEBOOKS = sorted((ROOT / 'docs' / 'en' / 'notebooks').glob('*.ipynb'))
SCRIPT = runpy.run_path(str(ROOT / 'docs' / 'notebooks.py'))
every_notebook = pytest.mark.parametrize('path', NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def told(outputs) -> str:
    """All that outputs say in plain text."""
    return '\n'.join(output.get('text', '') + output.get('data', {}).get('text/plain', '') for output in outputs)


def words(outputs) -> set[str]:
    """What they say without figures, which differ a little from machine to machine."""
    return set(re.findall(r'[a-z_]{3,}', told(outputs)))


def pictures(outputs) -> int:
    return sum('image/png' in output.get('data', {}) for output in outputs)


@pytest.mark.slow
@every_notebook
def test_runs(path, tmp_path):
    notebook = SCRIPT['executed'](path, tmp_path)
    for stored, cell in zip(nbformat.read(path, as_version=4).cells, notebook.cells, strict=True):
        if cell.cell_type == 'code':
            assert words(stored.outputs) == words(cell.outputs), 'make docs-notebooks'
            assert pictures(stored.outputs) == pictures(cell.outputs)
    if path.stem == 'own_folder':
        assert (tmp_path / 'my_cascade' / 'calibration.json').is_file()


@every_notebook
def test_stored_outputs_are_whole_small_and_name_no_machine(path):
    assert path.stat().st_size < 300_000
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == 'code']
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), 'make docs-notebooks'
    outputs = [output for cell in cells for output in cell.outputs]
    assert pictures(outputs) and re.search(r'\d', told(outputs))
    SCRIPT['refuse_machine'](outputs)
    assert not re.search(r'/(tmp|root|home)/|Traceback|\x1b', told(outputs))


@every_notebook
def test_stored_pictures_say_what_is_on_them(path):
    for cell in nbformat.read(path, as_version=4).cells:
        shown = [output for output in cell.get('outputs', []) if 'image/png' in output.get('data', {})]
        for output in shown:
            alt = output.metadata['image/png']['alt']
            assert len(alt) > 20 and alt == cell.metadata.mystnb.image.alt, 'make docs-notebooks'


def test_outputs_are_plain_and_a_picture_without_a_text_is_refused():
    cell = nbformat.v4.new_code_cell('draw()', metadata={'mystnb': {'image': {'alt': 'a line that rises'}}})
    cell.outputs = [
        nbformat.v4.new_output('stream', text='\x1b[1msystem\x1b[0m \x1b[38;5;9m1\x1b[0m'),
        nbformat.v4.new_output('display_data', data={'image/png': 'AA==', 'text/plain': '\x1b[1mFigure\x1b[0m'}),
    ]
    SCRIPT['tidy'](cell)
    assert told(cell.outputs) == 'system 1\nFigure'
    assert cell.outputs[1].metadata == {'image/png': {'alt': 'a line that rises'}}
    cell.metadata = nbformat.NotebookNode()
    with pytest.raises(SCRIPT['NotebookOutputError'], match='a cell draws'):
        SCRIPT['tidy'](cell)


def test_outputs_that_name_a_folder_of_the_machine_are_refused(tmp_path):
    output = nbformat.v4.new_output('stream', text=f'Look at it: {tmp_path}/report.html')
    with pytest.raises(SCRIPT['NotebookOutputError'], match='an output names'):
        SCRIPT['refuse_machine']([output], tmp_path)


def test_every_notebook_is_a_page():
    assert NOTEBOOKS
    index = (ROOT / 'docs' / 'en' / 'index.md').read_text()
    for path in NOTEBOOKS:
        assert f'\nnotebooks/{path.stem}\n' in index and f'](notebooks/{path.name})' in index
