# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The exits of a network against each other, and against a cascade of networks (Xia & Bouganis 2023, section 4.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config

from mmcascade._system.files import write_json
from mmcascade._system.machine import machine
from mmcascade._system.tables import Column, Table, with_interval
from mmcascade.calibration.fit.calibrate import anytime_curve, budgeted_curve
from mmcascade.calibration.fit.one_sided.geometric import RATIOS
from mmcascade.calibration.replay.costs import Chain
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.comparison.exits.plot import plot_exits
from mmcascade.comparison.exits.results import ExitResults, ExitRow
from mmcascade.comparison.exits.systems import POLICIES, Stored, policies_at_equal_cost
from mmcascade.comparison.stores import own_store
from mmcascade.engine.console.progress import Say
from mmcascade.engine.runs.prepare_store import of_kind
from mmcascade.evaluation.curves import aurc
from mmcascade.evaluation.curves.intervals.bootstrap import Interval
from mmcascade.evaluation.standings.measure import measure_for
from mmcascade.evaluation.standings.standings import Standings, System
from mmcascade.routing import WindowPolicy
from mmcascade.visualization.style import save

SCHEMA = 1
HALF_WIDTHS = tuple(np.round(np.arange(11) * 0.05, 2).tolist())
COLUMNS = (
    Column('system', left=True),
    Column('top-1 %', '.2f', factor=100),
    Column('coverage at 5 % risk'),
    Column('AURC %', '.3f', factor=100),
    Column('MMACs', '.3f'),
    Column('window less this'),
)


@dataclass(frozen=True)
class ExitComparison:
    """What is made of the exits of a config.

    Attributes:
        risk: of the decision that windows are placed around.
        half_width: of the windows in the table, a share of the images on each side of tau.
        repeats: draws of the units for intervals.
    """

    risk: float = 0.05
    half_width: float = 0.1
    repeats: int = 1000

    def run(
        self, cfg: Config, work_dir: Path, say: Say = print, beside: Mapping[str, Config] | None = None
    ) -> ExitResults:
        """Fit on ``val_dataloader``, measure on ``test_dataloader``.

        Args:
            cfg: config of a cascade whose stages are exits of one trained network.
            work_dir: gets ``results.json``, the pictures and the stored scores.
            say: prints one line of progress.
            beside: further cascades on the same images by name, such as one of several networks.

        Returns:
            What ``results.json`` holds.
        """
        work_dir.mkdir(parents=True, exist_ok=True)
        calibration, test = _stored(cfg, work_dir / 'scores', say)
        chain: Chain = tuple(range(len(test.stages)))
        systems = [test.system(f'exit {k} alone', (k,), WindowPolicy([])) for k in chain]
        chains = self.chains(len(chain))
        for name, some in chains.items():
            policies = policies_at_equal_cost(calibration, some, self._target, self.half_width)
            systems += [test.system(f'{policy}, {name}', some, rule) for policy, rule in policies.items()]
        curves = {name: self._sweep(calibration, test, some) for name, some in chains.items()}
        for name, other in (beside or {}).items():
            theirs, judged = _stored(other, work_dir / f'scores {name}', say)
            both = tuple(range(len(judged.stages)))
            policy = policies_at_equal_cost(theirs, both, self._target, self.half_width)['window']
            systems.append(judged.system(name, both, policy))
            curves[name] = {'window': self._sweep(theirs, judged, both)['window']}
        say('intervals')
        results: ExitResults = {
            'schema': SCHEMA,
            'machine': machine(),
            'target': self._target,
            'half_width': self.half_width,
            'units': len(test.labels),
            'systems': self._rows(systems),
            'curves': curves,
            'budgeted': _curve(*budgeted_curve(calibration.evidence(chain), test.evidence(chain)), ratio=RATIOS),
            'anytime': _curve(*anytime_curve(test.evidence(chain))),
        }
        save(plot_exits(results), work_dir / 'exits.png', formats=('pdf',))
        write_json(work_dir / 'results.json', results)
        return results

    @property
    def _target(self) -> str:
        return f'risk={self.risk:g}'

    def chains(self, count: int) -> dict[str, Chain]:
        """The middle exit and the last, as in the paper's study of two exits, and all of them; by name."""
        everything = tuple(range(count))
        pair = ((count - 1) // 2, count - 1)
        chains = {f'exits {pair[0]} and {pair[1]}': pair} if count > 2 else {}
        return {**chains, 'all exits': everything} if count > 1 else {}

    def _sweep(self, calibration: Stored, test: Stored, chain: Chain) -> dict[str, list[dict[str, float]]]:
        """Each policy at rising widths of the window."""
        measure = measure_for('risk', self.risk)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in POLICIES}
        for half_width in HALF_WIDTHS:
            for name, policy in policies_at_equal_cost(calibration, chain, self._target, half_width).items():
                system = test.system(name, chain, policy)
                standing = Standings([system], measure, repeats=1)[name]
                found[name].append(
                    {
                        'half_width': half_width,
                        'macs': float(system.cost.mean()),
                        'accuracy': float(1 - system.wrong.mean()),
                        'coverage': standing.quality.estimate,
                    }
                )
        return found

    def _rows(self, systems: Sequence[System]) -> dict[str, ExitRow]:
        standings = Standings(systems, measure_for('risk', self.risk), repeats=self.repeats)
        rows: dict[str, ExitRow] = {}
        for system in systems:
            standing = standings[system.name]
            rows[system.name] = {
                'accuracy': asdict(standing.accuracy),
                'coverage': asdict(standing.quality),
                'aurc': aurc(system.confidence, system.wrong),
                'macs': standing.cost,
            }
            policy, _, chain = system.name.partition(', ')
            if policy in ('threshold', 'random') and chain:
                less = standings.difference(f'window, {chain}', system.name)
                rows[system.name]['window_minus_this'] = asdict(less)
        return rows


def exits_table(results: ExitResults) -> Table:
    """One row per system, with 95 % intervals; the last column is paired."""
    rows = []
    for name, row in results['systems'].items():
        less = row.get('window_minus_this')
        rows.append(
            [name, row['accuracy']['estimate'], _shown(row['coverage']), row['aurc'], row['macs'] / 1e6, _shown(less)]
        )
    return Table.of(COLUMNS, rows)


def _stored(cfg: Config, folder: Path, say: Say) -> tuple[Stored, Stored]:
    found = []
    for split, name in (('val_dataloader', 'calibration'), ('test_dataloader', 'test')):
        say(f'scores of all stages on {split}')
        found.append(Stored.of(*of_kind(ScoreStore, own_store(cfg, folder / name, split, say))))
    return found[0], found[1]


def _curve(accuracy: np.ndarray, macs: np.ndarray, **more: Sequence[float]) -> list[dict[str, float]]:
    columns = {'accuracy': accuracy.tolist(), 'macs': macs.tolist(), **more}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _shown(interval: Mapping[str, float] | None) -> str | None:
    if interval is None:
        return None
    found = Interval(**interval)
    return with_interval(found.estimate, found.low, found.high, '.2f', 100)
