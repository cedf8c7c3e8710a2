# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The quickstart: train, calibrate, cascade, and compare on a test split."""

from __future__ import annotations

import contextlib
import copy
import json
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from mmcascade._system.files import write_json
from mmcascade._system.machine import machine
from mmcascade.comparison.claim import Quality, claim_intervals, coverage_of
from mmcascade.comparison.own_store import own_store
from mmcascade.comparison.plots import plot_policies, plot_quality_against_macs, plot_risk_coverage
from mmcascade.comparison.systems import Scores, System, cascade_systems, fixed_system
from mmcascade.evaluation.curves import coverage_at_risk
from mmcascade.routing import ExitPolicy, WindowPolicy
from mmcascade.visualization.style import save

SCHEMA = 1
PAIR = ('small0', 'small1')
LARGE = 'large'
POLICIES = ('cascade', 'threshold', 'random')
TARGET = 'risk=0.05'
CLAIM_HALF_WIDTHS = (0.10, 0.05)
HALF_WIDTHS = np.arange(21) * 0.025

Say = Callable[[str], None]


def run_quickstart(cfg: Config, work_dir: Path, tools: Path, say: Say = print) -> dict[str, Any]:
    """Calibrate and test every system of the quickstart; its members are trained already.

    Args:
        cfg: config of the cascade, with the larger member among its members.
        work_dir: gets ``results.json``, the pictures, and a config and calibration file for each system.
        tools: the folder of test.py.
        say: prints one line of progress.

    Returns:
        What ``results.json`` holds.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    calibration = member_scores(cfg, work_dir / 'calibration_scores', 'val_dataloader', say)
    test = member_scores(cfg, work_dir / 'test_scores', 'test_dataloader', say)
    systems, reverse = _systems(calibration)
    metrics = {name: _test(system, name, cfg, work_dir, tools, say) for name, system in systems.items()}
    reversed_metrics = {
        name: _test(system, f'{name}-reversed', cfg, work_dir, tools, say) for name, system in reverse.items()
    }
    say('replaying the stored scores for the intervals and pictures')
    replays = {name: test.replay(system.order, system.policy) for name, system in systems.items()}
    sweep = _sweep(calibration, test)
    results = {
        'schema': SCHEMA,
        'machine': machine(),
        'target': TARGET,
        'systems': metrics,
        'orders': {','.join(PAIR): {name: metrics[name] for name in reverse}, ','.join(PAIR[::-1]): reversed_metrics},
        'claim': {
            'macs_ratio': _macs_ratio(metrics, reversed_metrics),
            'by_half_width': [_claim(calibration, test, half_width) for half_width in CLAIM_HALF_WIDTHS],
        },
        'policies': sweep,
    }
    shown = {name: replays[name] for name in (PAIR[0], LARGE, 'ensemble', 'cascade', 'threshold', 'random')}
    for name, figure in (
        ('risk_coverage', plot_risk_coverage(shown, test.labels)),
        ('quality_macs', plot_quality_against_macs(metrics)),
        ('policies', plot_policies(sweep)),
    ):
        save(figure, work_dir / f'{name}.png', formats=('pdf',))
    write_json(work_dir / 'results.json', results)
    return results


def member_scores(cfg: Config, folder: Path, split: str, say: Say) -> Scores:
    """The scores of all members on a split, each member as a stage of its own."""
    everyone = copy.deepcopy(cfg)
    everyone.model.stages = [dict(member=name, view=0) for name in (*PAIR, LARGE)]
    shown = -1

    def progress(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // max(total, 1)
        if percent // 25 > shown // 25 or shown < 0:
            shown = percent
            say(f'  scores of all members on {split}: {done} of {total} images')

    return Scores.of(*own_store(everyone, folder, split, say, progress))


def _systems(calibration: Scores) -> tuple[dict[str, System], dict[str, System]]:
    """All systems with the pair in its order, and the policies with the pair the other way round."""
    alone = {name: fixed_system(calibration, [name], TARGET, []) for name in (*PAIR, LARGE)}
    ensemble = fixed_system(calibration, PAIR, TARGET, [(None, None)])
    return (
        {**alone, 'ensemble': ensemble, **cascade_systems(calibration, PAIR, TARGET)},
        cascade_systems(calibration, PAIR[::-1], TARGET),
    )


def _test(system: System, name: str, cfg: Config, work_dir: Path, tools: Path, say: Say) -> dict[str, float | None]:
    """Write the system's config, run tools/test.py on it, and read what it measured."""
    say(f'testing {name}')
    folder = work_dir / 'systems'
    folder.mkdir(exist_ok=True)
    calibration_path, config_path, out = (folder / f'{name}.{end}' for end in ('json', 'py', 'metrics.json'))
    system.calibration.save(calibration_path)
    config = copy.deepcopy(cfg)
    config.model.members = {member: cfg.model.members[member] for member in system.order}
    for key in ('policy', 'calibration', 'accept'):
        config.model.pop(key, None)
    config.model.update(system.model_options(str(calibration_path)))
    config.dump(config_path)
    run_tool(
        tools / 'test.py', config_path, '--work-dir', folder / name, '--out', out, '--cfg-options', 'log_level=WARNING'
    )
    return json.loads(out.read_text())


def run_tool(tool: Path, *args: object) -> None:
    """Run a tool in this process, as from the command line; what it prints goes to the error stream."""
    before = sys.argv
    sys.argv = [str(tool), *map(str, args)]
    try:
        with contextlib.redirect_stdout(sys.stderr):
            runpy.run_path(str(tool), run_name='__main__')
    finally:
        sys.argv = before


def _claim(calibration: Scores, test: Scores, half_width: float) -> dict[str, Any]:
    """Intervals for cascades of one width, each policy in both orders of the pair."""
    labels = test.labels

    def quality(order: Sequence[str], policy: ExitPolicy) -> Quality:
        return coverage_of(test.replay(order, policy), labels)

    by_order = [(order, cascade_systems(calibration, order, TARGET, half_width)) for order in (PAIR, PAIR[::-1])]
    policies = {name: [quality(order, systems[name].policy) for order, systems in by_order] for name in POLICIES}
    intervals = claim_intervals(
        [quality([name], WindowPolicy([])) for name in PAIR],
        quality(PAIR, WindowPolicy([(None, None)])),
        policies,
        len(labels),
    )
    return {'half_width': half_width, **{name: interval and asdict(interval) for name, interval in intervals.items()}}


def _macs_ratio(metrics: Mapping[str, Mapping[str, Any]], reverse: Mapping[str, Mapping[str, Any]]) -> float:
    """Cost of the cascade over that of one member, each a mean over both orders."""
    cascade = np.mean([metrics['cascade']['cost/macs'], reverse['cascade']['cost/macs']])
    return float(cascade / np.mean([metrics[name]['cost/macs'] for name in PAIR]))


def _sweep(calibration: Scores, test: Scores) -> dict[str, list[dict[str, float]]]:
    """Policies fitted on the calibration split and replayed on the test split, over the width of the window.

    Each point is the mean over both orders of the pair (Xia & Bouganis 2023, comparison of exit policies).
    """
    points: dict[str, list[dict[str, float]]] = {name: [] for name in POLICIES}
    for half_width in HALF_WIDTHS:
        by_order = [
            (order, cascade_systems(calibration, order, TARGET, float(half_width))) for order in (PAIR, PAIR[::-1])
        ]
        for name, line in points.items():
            results = [test.replay(order, systems[name].policy) for order, systems in by_order]
            wrong = [result.label != test.labels for result in results]
            line.append(
                {
                    'half_width': float(half_width),
                    'macs': float(np.mean([result.macs.mean() for result in results])),
                    'coverage@risk5': float(
                        np.mean(
                            [
                                100 * coverage_at_risk(result.confidence, errors, 0.05)
                                for result, errors in zip(results, wrong, strict=True)
                            ]
                        )
                    ),
                    'accuracy': float(np.mean([100 * (1 - errors.mean()) for errors in wrong])),
                }
            )
    return points
