# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The page of finished runs: ``mmcascade report``."""

from __future__ import annotations

import ast
import copy
import os
import re
import shlex
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from numpy.typing import NDArray
from PIL import Image

from mmcascade import __version__
from mmcascade._system.files import check_writable, read_json, write_text
from mmcascade._system.machine import machine
from mmcascade._system.progress import Progress, no_progress
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.stores import AnyStore
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.datasets.unit_keys import unit_key
from mmcascade.engine.console.configs import CONFIG
from mmcascade.engine.console.progress import progress_bar
from mmcascade.models.cells.grid import Grid
from mmcascade.routing.checks import is_number
from mmcascade.visualization.report.cells.pictures import CellImages
from mmcascade.visualization.report.cells.section import cells_section
from mmcascade.visualization.report.cells.split import CellSplit
from mmcascade.visualization.report.compared import Judgements, compared_section
from mmcascade.visualization.report.findings.judged import StoredSplit
from mmcascade.visualization.report.findings.searched import shown_search
from mmcascade.visualization.report.findings.settings import request_of
from mmcascade.visualization.report.gallery import Images
from mmcascade.visualization.report.page import PageSection, page
from mmcascade.visualization.report.runs import CalibratedRun, calibrated_runs
from mmcascade.visualization.report.section import Told, classified_section, evidence_for

#: What `build` writes beside its calibration.
RESULTS = 'results.json'
#: What `compare` writes.
COMPARISON, DECISIONS = 'comparison.json', 'decisions.npz'
MOST_BYTES = 8_000_000


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Write the page of some runs.

    Args:
        runs: folders of ``build``, of ``compare`` or of calibrations with their stores, or calibration files.
        out: the HTML file.

    Raises:
        ValueError, OSError: saying which of them cannot be shown.
    """
    check_writable(out)
    sections: list[PageSection] = []
    for run in runs:
        if not run.exists():
            raise FileNotFoundError(f'there is no run {str(run)!r}')
        if (run / DECISIONS).is_file():
            sections.append(_compared(run))
            continue
        found = calibrated_runs(run)
        if not found:
            raise ValueError(
                f'{run} holds neither a calibration with its scores nor a comparison: name a folder that '
                '`mmcascade build`, `mmcascade compare` or `mmcascade calibrate --store` wrote'
            )
        for each in found:
            with progress_bar('calibrating for each place of the sliders') as progress:
                sections.append(section_of(each, progress))
    text = page(sections)
    if len(text.encode()) > MOST_BYTES:
        raise ValueError(f'the page would have {len(text.encode()) / 1e6:.1f} MB; name fewer runs at once')
    write_text(out, text)
    return out


def _compared(folder: Path) -> PageSection:
    try:
        judged = Judgements.load(folder / DECISIONS)
        results = read_json(folder / COMPARISON)
        target, versions = results['target'], results['machine']
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f'{folder} is no comparison that can be shown ({error}); compare again') from error
    common = os.path.commonpath([str(Path(file).parent) for file in judged.files]) if judged.files else ''
    names = [os.path.relpath(file, common) for file in judged.files]
    images = Images(names, lambda index: read_picture({'img_path': judged.files[index]}))
    told = Told(folder.resolve().name, judged.classes, images, versions={'mmcascade': __version__, **versions})
    return compared_section(told, judged, target)


def section_of(run: CalibratedRun, progress: Progress = no_progress) -> PageSection:
    """The part of the page that one calibration has."""
    calibration = run.calibration
    told = _told(run)
    evidence = evidence_for(run.fitted, calibration)
    times = _times(run, 'stage_ms')
    if isinstance(run.fitted, CellStore):
        on_cells = CellSplit(run.fitted, milliseconds=times)
        if times is not None:
            evidence = replace(evidence, units=on_cells.source.units)
        shown_cells = None
        if isinstance(run.shown, CellStore):
            whole = run.whole and replace(run.whole, milliseconds=_times(run, 'whole_ms', needed=times is not None))
            shown_cells = CellSplit(run.shown, whole, times)
        pictures = _cell_images(told, calibration)
        return cells_section(told, calibration, evidence, on_cells, shown_cells, pictures, progress)
    shown = run.shown if isinstance(run.shown, ScoreStore) else None
    fitted, split = (
        None if store is None else StoredSplit.of(store, calibration.cascade, calibration.temperatures, times)
        for store in (run.fitted, shown)
    )
    assert fitted is not None
    if times is not None:
        evidence = replace(evidence, units=fitted.source.units)
    return classified_section(told, calibration, evidence, fitted, split, progress)


def _cell_images(told: Told, calibration: Calibration) -> CellImages | None:
    """The images with their cells; None where they cannot be shown."""
    if told.images is None:
        return None
    found = re.fullmatch(r'cells of (\d+) x (\d+)', calibration.cascade.grid or '')
    cell = None if found is None else (int(found[1]), int(found[2]))

    def boxes(height: int, width: int) -> list[tuple[int, int, int, int]]:
        grid = Grid((height, width), cell)
        placed = [grid.box(index) for index in range(len(grid))]
        return [(box.left, box.top, box.right - box.left, box.bottom - box.top) for box in placed]

    return CellImages(told.images.names, told.images.picture, boxes)


def _told(run: CalibratedRun) -> Told:
    folder = run.path.parent
    store = run.shown or run.fitted
    results = _results(folder)
    config, notes = _config(run, store), []
    classes: Sequence[str] = ()
    images = None
    if config is None:
        notes.append('The store holds no config, so neither images nor names of classes can be shown.')
    else:
        try:
            classes, images = _images(config, store, 'test_dataloader' if run.shown is not None else 'val_dataloader')
        except Exception as error:  # whatever a data set raises whose files were moved
            notes.append(f'The images cannot be shown: {error}')
    try:
        searched = shown_search(results)
    except ValueError as error:
        searched = None
        notes.append(f'{error}.')
    versions = results.get('machine') or machine()
    name = run.path.resolve().parent.name if run.path.name == 'calibration.json' else run.path.stem
    return Told(
        title=name,
        classes=classes,
        images=images,
        commands=_commands(run, results),
        config=_text(folder, store),
        versions={'mmcascade': __version__, **versions},
        notes=notes,
        searched=searched,
    )


def _times(run: CalibratedRun, name: str, needed: bool = False) -> list[float] | None:
    """Milliseconds of the stages, or of members on whole images, where `build` counted those."""
    times = _results(run.path.parent).get(name)
    if times is None and not needed:
        return None
    stages = len(run.calibration.cascade.stages)
    if not isinstance(times, list) or len(times) != stages or not all(is_number(time) and time > 0 for time in times):
        raise ValueError(f'{run.path.parent / RESULTS}: {name} is a number for each of {stages} stages, got {times!r}')
    return times


def _results(folder: Path) -> Mapping[str, Any]:
    try:
        found = read_json(folder / RESULTS)
    except FileNotFoundError:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f'{folder / RESULTS} holds an object, got {str(found)[:100]}')
    return found


def _config(run: CalibratedRun, store: AnyStore) -> Config | None:
    """Of the split that is shown, as the store wrote it down: a literal, which is read and not run."""
    text = store.header.config
    return None if text is None else Config(ast.literal_eval(text))


def _text(folder: Path, store: AnyStore) -> str:
    if (folder / CONFIG).is_file():
        return (folder / CONFIG).read_text(encoding='utf-8')
    if store.header.config is None:
        return ''
    return Config(ast.literal_eval(store.header.config)).pretty_text


def _commands(run: CalibratedRun, results: Mapping[str, Any]) -> list[str]:
    folder = run.path.parent
    made = results.get('command')
    if isinstance(made, str):
        return [
            made,
            shlex.join(['mmcascade', 'predict', str(folder), 'IMAGES', '--out', 'decisions.csv']),
            shlex.join(['mmcascade', 'export', str(folder / CONFIG), 'bundle']),
        ]
    request = request_of(run.calibration)
    flags: list[str] = []
    for each in fields(CalibrationRequest):
        if each.name != 'target' and each.name in request.given:
            flags += [f'--{each.name.replace("_", "-")}', str(getattr(request, each.name))]
    words = ['mmcascade', 'calibrate', 'CONFIG', str(run.path), '--target', request.target, *flags]
    return [shlex.join([*words, '--store', str(run.fitted.folder)])]


def _images(config: Config, store: AnyStore, split: str) -> tuple[Sequence[str], Images]:
    """Names of the classes, and the images of a split in the order of the store."""
    # A store of a split other than the calibration's was filled with it in the calibration's place.
    loader = config.get('val_dataloader') or config[split]
    init_default_scope(config.get('default_scope', 'mmpretrain'))
    dataset = DATASETS.build(dict(copy.deepcopy(loader.dataset)))
    if len(dataset) != store.header.size:
        raise ValueError(f'the data set has {len(dataset)} images now, and the scores are of {store.header.size}')
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    root = str(getattr(dataset, 'data_root', '') or getattr(getattr(dataset, 'dataset', None), 'data_root', '') or '')
    names = [_name(info, index, root) for index, info in enumerate(infos)]

    def picture(index: int) -> NDArray[np.uint8] | None:
        return read_picture(infos[index])

    return list(dataset.metainfo.get('classes') or ()), Images(names, picture)


def _name(info: Mapping[str, Any], index: int, root: str) -> str:
    if 'img_path' not in info:
        return f'image {index}, {unit_key(dict(info)).hex()[:8]}'
    path = Path(info['img_path'])
    return str(path.relative_to(root)) if root and path.is_relative_to(root) else path.name


def read_picture(info: Mapping[str, Any]) -> NDArray[np.uint8] | None:
    """RGB uint8 ``(H, W, 3)`` of an entry of a data set; None where it cannot be read."""
    try:
        if 'img_path' in info:
            with Image.open(info['img_path']) as image:
                return np.asarray(image.convert('RGB'))
        array = np.asarray(info['img'], np.uint8)
    except (OSError, KeyError, ValueError, SyntaxError):
        return None
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, 2)
    return array[..., 2::-1]  # data sets in memory hold BGR, as mmcv reads
