# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Execute the notebooks of the docs and store what they print and draw in them: ``make docs-notebooks``.

python docs/notebooks.py [NOTEBOOK...]

The site and GitHub show what is stored; building the site executes nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path
from unittest import mock

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / 'docs' / 'en' / 'notebooks'
#: Seconds that one cell may take.
TIMEOUT = 600
#: Parts of warnings that are no fault of ours: of tqdm without widgets, and of mmcv without its compiled operators.
KNOWN = ('IProgress not found', 'MultiScaleDeformableAttention')
#: What libraries print and no cell asked for: mmseg, without a library of its fork for other data.
CHATTER = {'', 'Could not import OneDL'}
#: What makes letters of a terminal bold or coloured; on the site it stands there as signs.
STYLE = re.compile(r'\x1b\[[0-9;]*m')
PICTURE = 'image/png'


class NotebookOutputError(Exception):
    """A notebook printed what must not be stored."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('notebooks', type=Path, nargs='*', help='by default all of docs/en/notebooks')
    for path in parser.parse_args().notebooks or sorted(NOTEBOOKS.glob('*.ipynb')):
        print(path.name, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(executed(path, Path(folder)), path)


def executed(path: Path, folder: Path) -> NotebookNode:
    """Run all cells of a notebook, which write below ``folder``; return it with its outputs.

    Raises:
        NotebookOutputError: if an output names a folder of this machine, a cell warns of something, or a picture has no
            text for those who do not see it.
        CellExecutionError: of nbclient, if a cell raises.
    """
    notebook = nbformat.read(path, as_version=4)
    with mock.patch.dict(os.environ, PYTHONPATH=str(ROOT)):
        NotebookClient(notebook, timeout=TIMEOUT, resources={'metadata': {'path': str(folder)}}).execute()
    notebook.metadata.language_info = NotebookNode(name='python')  # without the version of this machine's
    for cell in notebook.cells:
        cell.metadata.pop('execution', None)  # times of day
        if cell.cell_type == 'code':
            refuse_machine(cell.outputs, folder)
            cell.outputs = [output for output in cell.outputs if _is_kept(output)]
            tidy(cell)
    return notebook


def tidy(cell: NotebookNode) -> None:
    """Plain letters in the outputs of a cell, and beside its pictures what is to be seen on them.

    The text is in the metadata of the cell, ``mystnb: {image: {alt: ...}}``, where the site looks for it; other viewers
    take it from the output.

    Raises:
        NotebookOutputError: if a cell draws, and has no such text.
    """
    alt = cell.metadata.get('mystnb', {}).get('image', {}).get('alt')
    for output in cell.outputs:
        if 'text' in output:
            output.text = STYLE.sub('', output.text)
        shown = output.get('data', {})
        if 'text/plain' in shown:
            shown['text/plain'] = STYLE.sub('', shown['text/plain'])
        if PICTURE not in shown:
            continue
        if not alt:
            raise NotebookOutputError(
                'a cell draws, and its metadata do not say what: {"mystnb": {"image": {"alt": "..."}}}: '
                f'{cell.source[:200]}'
            )
        output.metadata = {**output.metadata, PICTURE: {**output.metadata.get(PICTURE, {}), 'alt': alt}}


def _is_kept(output: NotebookNode) -> bool:
    """Whether an output says something; chatter and known warnings are dropped."""
    if output.get('name') != 'stderr':
        return output.output_type != 'stream' or not CHATTER.issuperset(output.text.strip().split('\n'))
    if not any(part in output.text for part in KNOWN):
        raise NotebookOutputError(f'a cell warns: {output.text}')
    return False


def refuse_machine(outputs: list[NotebookNode], *folders: Path) -> None:
    """Raise if what outputs print names a folder of this machine.

    Args:
        outputs: of a cell.
        folders: beside this checkout, the home and the environment.
    """
    for place in {str(place) for place in (*folders, ROOT, Path.home(), sys.prefix)}:
        for output in outputs:
            if output.get('name') != 'stderr' and place in str(output):
                raise NotebookOutputError(f'an output names {place}: {str(output)[:500]}')


if __name__ == '__main__':
    main()
