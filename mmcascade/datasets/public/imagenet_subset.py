# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""1,300 validation photographs of ImageNet, squashed to 227 pixels, from a public repository.

Work is done on the photographs at even positions of the repository's list, so that those at odd positions can judge it
later. A position counts from 0. They are easier than the whole validation set.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from mmcascade._system.files import folder_written_whole
from mmcascade._system.repositories import SourceError, clone_or

REPOSITORY = 'https://github.com/VeriSilicon/acuity-dataset'
FOLDER = 'ILSVRC2012_VAL_SET'
POSITIONS = ('even', 'odd', 'all')
_CLASSES = 1000

#: Path and label of a photograph.
Entry = tuple[str, int]


def write_subset(
    out_dir: Path, positions: str = 'even', source: Path | None = None, log: Callable[[str], None] = print
) -> dict[str, int]:
    """Write ``out_dir/POSITIONS/`` with the photographs, and lists of them for MMPretrain's ``CustomDataset``.

    ``all.txt`` names them all; ``calibration.txt`` and ``test.txt`` take turns. Most classes have one photograph, so a
    split by class is not to be had.

    Args:
        out_dir: ``data_root`` of the configs.
        positions: which photographs of the repository's list: 'even', 'odd' or 'all'.
        source: a clone of :data:`REPOSITORY`; None = it is cloned.
        log: takes lines that say what is being done.

    Returns:
        The number of photographs per list.

    Raises:
        ValueError: on other positions.
        SourceError: if the list or a photograph is missing.
        RepositoryError: if nothing can be cloned.
    """
    if positions not in POSITIONS:
        raise ValueError(f'positions is one of {POSITIONS}, got {positions!r}')
    with clone_or(source, REPOSITORY, [FOLDER], log) as folder:
        entries = _chosen(_entries(folder / FOLDER / 'dataset.txt'), positions)
        lists = {'all': entries, 'calibration': entries[::2], 'test': entries[1::2]}
        missing = [path for path, _ in entries if not (folder / FOLDER / path).is_file()]
        if missing:
            raise SourceError(
                f'{len(missing)} of {len(entries)} photographs are missing, such as {folder / FOLDER / missing[0]}; '
                f'clone {REPOSITORY} again'
            )
        shutil.rmtree(out_dir / positions, ignore_errors=True)
        with folder_written_whole(out_dir / positions) as new:
            (new / 'images').mkdir(parents=True)
            for path, _ in entries:
                shutil.copyfile(folder / FOLDER / path, new / 'images' / Path(path).name)
            for name, part in lists.items():
                text = ''.join(f'{Path(path).name} {label}\n' for path, label in part)
                (new / f'{name}.txt').write_text(text)
    return {name: len(part) for name, part in lists.items()}


def _entries(file: Path) -> list[Entry]:
    """The repository's list, lines such as ``./data/ILSVRC2012_val_00000347.JPEG, 472``."""
    if not file.is_file():
        raise SourceError(f'there is no {file}; the folder is a clone of {REPOSITORY}')
    entries = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        path, _, label = line.partition(',')
        if not label.strip().isdigit() or int(label) >= _CLASSES:
            raise SourceError(f'line {number} of {file} is {line!r}, and a path, a comma and a label were expected')
        entries.append((path.strip(), int(label)))
    return entries


def _chosen(entries: list[Entry], positions: str) -> list[Entry]:
    if positions == 'all':
        return entries
    return entries[POSITIONS.index(positions) :: 2]
