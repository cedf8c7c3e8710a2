# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Systems on the same labelled images: one table with paired intervals, curves with bands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import DATASETS, init_default_scope

from mmcascade._system.files import write_json
from mmcascade._system.machine import machine
from mmcascade._system.progress import Progress, no_progress
from mmcascade.calibration.fit.target import Target
from mmcascade.comparison.build.images import labelled_images
from mmcascade.engine.configs.classes import check_classes
from mmcascade.engine.predict.deciders.decider import Decider
from mmcascade.engine.runs.report import COMPARISON, DECISIONS, write_report
from mmcascade.evaluation.standings.measure import measure_for
from mmcascade.evaluation.standings.standings import Standings, System
from mmcascade.runtime import Decision, Failure
from mmcascade.visualization.report.compared import Judgements
from mmcascade.visualization.standings_plot import plot_costs, plot_curves
from mmcascade.visualization.style import save

SCHEMA = 1


@dataclass(frozen=True)
class Compared:
    """Systems beside each other.

    Attributes:
        standings: their figures.
        reference: the dearest of them, which the others are compared with.
        files: what was written.
    """

    standings: Standings
    reference: str
    files: list[Path]


def compare(
    deciders: Mapping[str, Decider[Any]],
    data: str,
    out: Path,
    target: str = 'risk=0.05',
    batch_size: int = 32,
    progress: Progress = no_progress,
) -> Compared:
    """Let every system decide on the same images.

    Args:
        deciders: by name.
        data: labelled images, as ``mmcascade build`` takes them.
        out: folder to write.
        target: by which they are compared: risk=, coverage=, or accuracy= for the accuracy of all.
        batch_size: images at a time.
        progress: called with the number of finished and of all decisions.

    Raises:
        ValueError, OSError: saying what to put right.
    """
    if len(deciders) < 2:
        raise ValueError(f'a comparison has two systems or more, got {len(deciders)}: {", ".join(deciders)}')
    wanted = Target.parse(target)
    measure = measure_for(wanted.kind, wanted.value)
    out.mkdir(parents=True, exist_ok=True)
    classes = next((decider.classes for decider in deciders.values() if decider.classes), None)
    init_default_scope('mmpretrain')
    dataset = DATASETS.build(dict(labelled_images(data, out, classes), pipeline=[]))
    for decider in deciders.values():
        check_classes(dataset, decider.classes, None, '--data')
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    files, labels = [Path(info['img_path']) for info in infos], np.array([info['gt_label'] for info in infos])
    systems, said = [], []
    for number, (name, decider) in enumerate(deciders.items()):
        decisions: list[Decision] = []
        for start in range(0, len(files), batch_size):
            for file, result in zip(
                files[start : start + batch_size], decider.decide(files[start : start + batch_size], start), strict=True
            ):
                if isinstance(result, Failure):
                    raise ValueError(f'{file} cannot be decided on: {result.error}')
                decisions.append(result)
            progress(number * len(files) + len(decisions), len(deciders) * len(files))
        wrong = np.array([decision.label for decision in decisions]) != labels
        confidence = np.array([decision.confidence for decision in decisions])
        said.append([decision.label for decision in decisions])
        systems.append(System(name, confidence, wrong, np.array([decision.macs for decision in decisions])))
    standings = Standings(systems, measure)
    reference = max(standings, key=lambda standing: standing.cost).name
    written = [
        *save(
            plot_curves(systems, risk=wanted.value if wanted.kind == 'risk' else None),
            out / 'risk_coverage.png',
            formats=('pdf',),
        ),
        *save(plot_costs(standings), out / 'quality_macs.png', formats=('pdf',)),
    ]
    judged = Judgements(
        tuple(deciders),
        tuple(dataset.metainfo.get('classes') or classes or ()),
        tuple(map(str, files)),
        labels,
        np.array(said),
        np.array([system.confidence for system in systems]),
        np.array([system.cost for system in systems]),
    )
    judged.save(out / DECISIONS)
    results = {
        'schema': SCHEMA,
        'machine': machine(),
        'target': target,
        'measure': measure.name,
        'units': standings.units,
        'systems': {standing.name: standing.to_json() for standing in standings},
        'reference': reference,
        'differences': {
            name: asdict(standings.difference(name, reference)) for name in standings.names if name != reference
        },
    }
    write_json(out / COMPARISON, results)
    page = write_report([out], out / 'report.html')
    return Compared(standings, reference, [page, out / COMPARISON, out / DECISIONS, *written])
