# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members, their ensemble and cascades of them in both orders, calibrated and tested on any config."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from mmcascade._system.files import write_json
from mmcascade._system.machine import machine
from mmcascade.comparison.classification.claim import Statistic, claim_intervals, coverage_of
from mmcascade.comparison.classification.plots import (
    plot_policies,
    plot_quality_against_macs,
    plot_risk_coverage,
)
from mmcascade.comparison.classification.results import ClassifierResults
from mmcascade.comparison.classification.scores import SplitScores, member_scores
from mmcascade.comparison.classification.systems import FittedSystem, cascade_systems, fixed_system
from mmcascade.comparison.testing import measured
from mmcascade.engine.console.progress import Say
from mmcascade.evaluation.curves import coverage_at_risk
from mmcascade.routing import ExitPolicy, WindowPolicy
from mmcascade.visualization.style import save

SCHEMA = 1
POLICIES = ('cascade', 'threshold', 'random')
CLAIM_HALF_WIDTHS = (0.10, 0.05)
HALF_WIDTHS = np.arange(21) * 0.025


@dataclass(frozen=True)
class ClassifierComparison:
    """Which systems are made of the members of a config.

    Attributes:
        order: the members of the cascade, cheapest first; they are compared the other way round, too.
        others: further members, which are tested alone.
        target: of the windows and accept thresholds, such as 'risk=0.05'.
    """

    order: tuple[str, ...]
    others: tuple[str, ...] = ()
    target: str = 'risk=0.05'

    @property
    def members(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.order, *self.others)

    @property
    def orders(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Of the cascade, forwards and backwards."""
        return self.order, self.order[::-1]

    def run(self, cfg: Config, work_dir: Path, say: Say = print) -> ClassifierResults:
        """Calibrate and test every system.

        Args:
            cfg: config of a cascade with trained members.
            work_dir: gets ``results.json``, the pictures, and a config and calibration file for each system.
            say: prints one line of progress.

        Returns:
            What ``results.json`` holds.
        """
        work_dir.mkdir(parents=True, exist_ok=True)
        calibration = self.scores(cfg, work_dir / 'calibration_scores', 'val_dataloader', say)
        test = self.scores(cfg, work_dir / 'test_scores', 'test_dataloader', say)
        systems, reverse = self._systems(calibration)
        metrics = {name: _tested(system, name, cfg, work_dir, say) for name, system in systems.items()}
        reversed_metrics = {
            name: _tested(system, f'{name}-reversed', cfg, work_dir, say) for name, system in reverse.items()
        }
        say('replaying the stored scores for the intervals and pictures')
        replays = {name: test.replay(system.order, system.policy) for name, system in systems.items()}
        sweep = self._sweep(calibration, test)
        forwards, backwards = (','.join(order) for order in self.orders)
        results: ClassifierResults = {
            'schema': SCHEMA,
            'machine': machine(),
            'target': self.target,
            'systems': metrics,
            'orders': {forwards: {name: metrics[name] for name in reverse}, backwards: reversed_metrics},
            'claim': {
                'macs_ratio': self._macs_ratio(metrics, reversed_metrics),
                'by_half_width': [self._claim(calibration, test, half_width) for half_width in CLAIM_HALF_WIDTHS],
            },
            'policies': sweep,
        }
        shown = {name: replays[name] for name in (self.order[0], *self.others, 'ensemble', *POLICIES)}
        for name, figure in (
            ('risk_coverage', plot_risk_coverage(shown, test.labels)),
            ('quality_macs', plot_quality_against_macs(metrics)),
            ('policies', plot_policies(sweep)),
        ):
            save(figure, work_dir / f'{name}.png', formats=('pdf',))
        write_json(work_dir / 'results.json', results)
        return results

    def scores(self, cfg: Config, folder: Path, split: str, say: Say) -> SplitScores:
        """The stored scores of all members on a split."""
        return member_scores(cfg, self.members, folder, split, say)

    def _systems(self, calibration: SplitScores) -> tuple[dict[str, FittedSystem], dict[str, FittedSystem]]:
        """All systems with the members in their order, and the policies with them the other way round."""
        alone = {name: fixed_system(calibration, [name], self.target, []) for name in self.members}
        everybody: list = [(None, None)] * (len(self.order) - 1)
        ensemble = fixed_system(calibration, self.order, self.target, everybody)
        forwards, backwards = (cascade_systems(calibration, order, self.target) for order in self.orders)
        return {**alone, 'ensemble': ensemble, **forwards}, backwards

    def _claim(self, calibration: SplitScores, test: SplitScores, half_width: float) -> dict[str, Any]:
        """Intervals for cascades of one width, each policy in both orders."""

        def coverage(order: Sequence[str], policy: ExitPolicy) -> Statistic:
            return coverage_of(test.replay(order, policy), test.labels)

        by_order = [(order, cascade_systems(calibration, order, self.target, half_width)) for order in self.orders]
        policies: dict[str, Sequence[Statistic]] = {
            name: [coverage(order, systems[name].policy) for order, systems in by_order] for name in POLICIES
        }
        intervals = claim_intervals(
            [coverage([name], WindowPolicy([])) for name in self.order],
            coverage(self.order, WindowPolicy([(None, None)] * (len(self.order) - 1))),
            policies,
            len(test.labels),
        )
        found = {name: interval and asdict(interval) for name, interval in intervals.items()}
        return {'half_width': half_width, **found}

    def _macs_ratio(self, metrics: Mapping[str, Mapping[str, Any]], reverse: Mapping[str, Mapping[str, Any]]) -> float:
        """Cost of the cascade over that of one member, each a mean over both orders."""
        cascade = np.mean([metrics['cascade']['cost/macs'], reverse['cascade']['cost/macs']])
        return float(cascade / np.mean([metrics[name]['cost/macs'] for name in self.order]))

    def _sweep(self, calibration: SplitScores, test: SplitScores) -> dict[str, list[dict[str, float]]]:
        """Policies fitted on the calibration split and replayed on the test split, over the width of the window.

        Each point is the mean over both orders of the members (Xia & Bouganis 2023, comparison of exit policies).
        """
        points: dict[str, list[dict[str, float]]] = {name: [] for name in POLICIES}
        for half_width in map(float, HALF_WIDTHS):
            by_order = [(order, cascade_systems(calibration, order, self.target, half_width)) for order in self.orders]
            for name, line in points.items():
                results = [test.replay(order, systems[name].policy) for order, systems in by_order]
                wrong = [result.label != test.labels for result in results]
                coverage = [
                    coverage_at_risk(result.confidence, errors, 0.05)
                    for result, errors in zip(results, wrong, strict=True)
                ]
                line.append(
                    {
                        'half_width': half_width,
                        'macs': float(np.mean([result.macs.mean() for result in results])),
                        'coverage@risk5': 100 * float(np.mean(coverage)),
                        'accuracy': float(np.mean([100 * (1 - errors.mean()) for errors in wrong])),
                    }
                )
        return points


def _tested(system: FittedSystem, name: str, cfg: Config, work_dir: Path, say: Say) -> dict[str, Any]:
    """Write the system's calibration and config, test it, and return what it measured."""
    say(f'testing {name}')
    folder = work_dir / 'systems'
    path = folder / f'{name}.json'
    system.calibration.save(path)
    config = copy.deepcopy(cfg)
    config.model.members = {member: cfg.model.members[member] for member in system.order}
    for key in ('policy', 'calibration', 'accept'):
        config.model.pop(key, None)
    config.model.update(system.model_options(str(path)))
    return measured(config, folder, name)
