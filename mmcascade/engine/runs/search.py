# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From stores to tables, pictures and ready-to-run configs of cascades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmcascade._system.files import folder_written_whole, write_json
from mmcascade._system.progress import Progress, no_progress
from mmcascade.calibration.fit.certificates.held_out import hold_out
from mmcascade.calibration.grid.chain_search import Setting, front
from mmcascade.calibration.grid.pareto import spread_out
from mmcascade.calibration.grid.plan import Plan
from mmcascade.calibration.replay.quality import Accuracy
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.search.found import Covered
from mmcascade.calibration.search.results.committees import compare, convert
from mmcascade.calibration.search.results.confidence_curves import confidence_curves
from mmcascade.calibration.search.results.files import as_csv, as_json, committee_rows
from mmcascade.calibration.search.results.pareto_file import About, Outcome, ParetoFile
from mmcascade.calibration.search.results.report import Performance, Point, Reporter
from mmcascade.calibration.search.search import search
from mmcascade.calibration.stores import AnyStore
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.calibration.stores.store import holds_cells
from mmcascade.engine.configs.chains import stored_config, write_chain
from mmcascade.evaluation.standings.cost_unit import MILLISECONDS, MULTIPLY_ADDS
from mmcascade.visualization.search_plot import plot_confidences, plot_front
from mmcascade.visualization.style import save


@dataclass(frozen=True)
class SearchRun:
    """Stores, what to do with their units, and where the results go.

    Attributes:
        stores: of scores of the same units, or one of cells.
        candidates: their stages.
        unit: of cost.
        out: folder to write; must not exist, or be empty.
        seed: of the division of the units into the half that is searched on and the half that is reported.
        points: write at most so many points of a front.
        repeats: draws of the bootstrap.
    """

    stores: Sequence[AnyStore]
    candidates: Candidates
    unit: str
    out: Path
    seed: int = 0
    points: int = 20
    repeats: int = 500

    @classmethod
    def open(
        cls,
        folders: Sequence[str | Path],
        out: str | Path,
        costs: Mapping[str, float] | None = None,
        confidence: str | None = None,
        fusion: str | None = None,
        **options: Any,
    ) -> SearchRun:
        """Open stores of either kind.

        Args:
            folders: of stores of scores, or of one store of cells.
            out: folder to write; must not exist, or be empty.
            costs: milliseconds per stage, in place of multiply-adds; see
                :meth:`~mmcascade.calibration.search.candidates.Candidates.from_stores`.
            confidence, fusion: of the cascades; default those of the stores' config, else 'max_prob' and 'prob'. Cells
                were stored with their own.
            options: ``seed``, ``points`` and ``repeats``.

        Raises:
            ValueError: if the stores do not fit together, or the output folder holds something.
        """
        out = cls._checked(Path(out), options.get('points', cls.points))
        unit = (MULTIPLY_ADDS if costs is None else MILLISECONDS).name
        if holds_cells(folders[0]):
            for name, value in (('confidence', confidence), ('fusion', fusion)):
                if value is not None:
                    raise ValueError(
                        f'--{name} is for stores of scores, and {folders[0]} holds cells: the store was filled with one'
                    )
            if len(folders) > 1:
                raise ValueError(
                    f'cells are searched in one store, which knows what its stages give together, got '
                    f'{len(folders)}; fill one from a config with every stage that is to be tried'
                )
            cells = [CellStore.open(folders[0])]
            return cls(cells, Candidates.from_stores(cells, costs), unit, out, **options)
        stores = [ScoreStore.open(folder) for folder in folders]
        model = (stored_config(stores) or {}).get('model', {})
        confidence = confidence or model.get('confidence', 'max_prob')
        if not isinstance(confidence, str):
            raise ValueError(
                f"the store's config has a confidence of its own, {confidence}; a search reads class scores "
                'only, so name one of its functions with --confidence'
            )
        candidates = Candidates.from_stores(stores, costs, confidence, fusion or model.get('fusion', 'prob'))
        return cls(stores, candidates, unit, out, **options)

    @staticmethod
    def _checked(out: Path, points: int) -> Path:
        if points < 2:
            raise ValueError(f'a front has two ends, so at least 2 points are written, got {points}')
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ValueError(f'{out} exists and is not empty; name another folder with --out, or delete it')
        return out

    def front(self, plan: Plan, progress: Progress = no_progress) -> ParetoFile:
        """Search, and write table, picture and configs of the front; returns what ``pareto.json`` holds."""
        select, report = self._halves()
        found = search(self.candidates, select, plan, progress)
        chosen = [found.front[k] for k in spread_out([s.cost for s in found.front], self.points)]
        reporter = Reporter(self.candidates, plan, select, report, self.repeats)
        about: Outcome = {'front': len(found.front)}
        if self.candidates.units.label is not None:
            about['max_cells'] = plan.max_cells
        if isinstance(plan.quality, Accuracy) and plan.chains is None:
            about['committees'] = committee_rows(compare(found), self.candidates, reporter.figures)
        return self._write(chosen, found.ensembles, found.covered, plan, reporter, about)

    def converted(self, chain: str, goal: str, plan: Plan) -> ParetoFile:
        """Turn an ensemble into a cascade; writes both like a front of two."""
        select, report = self._halves()
        settings = convert(self.candidates, select, self.candidates.find(chain), goal, plan)
        reporter = Reporter(self.candidates, plan, select, report, self.repeats)
        ordered = sorted(settings[::-1], key=lambda setting: setting.cost)
        return self._write(ordered, [settings[0]], [], plan, reporter, {'match': goal})

    def confidences(self, chain: str) -> dict[str, float]:
        """Draw the accuracy of the most confident units by confidence function; returns the areas under the lines."""
        curves = confidence_curves(self.candidates, self.candidates.find(chain))
        areas = {name: float(curve.mean()) for name, curve in curves.items()}
        with folder_written_whole(self.out) as folder:
            save(plot_confidences(curves, chain), folder / 'confidences.png')
            write_json(
                folder / 'confidences.json',
                {
                    'schema': 1,
                    'chain': chain,
                    'fusion': self.candidates.cascade.fusion,
                    'units': len(self.candidates.units),
                    'mean_accuracy': areas,
                    'accuracy_of_most_confident': {
                        name: {f'{share}%': float(curve[_rank(len(curve), share)]) for share in range(10, 101, 10)}
                        for name, curve in curves.items()
                    },
                },
            )
        return areas

    def _halves(self) -> tuple[np.ndarray, np.ndarray]:
        return hold_out(self.candidates.source.strata, 0.5, self.seed)

    def _write(
        self,
        settings: Sequence[Setting],
        ensembles: Sequence[Setting],
        covered: Sequence[Covered],
        plan: Plan,
        reporter: Reporter,
        outcome: Outcome,
    ) -> ParetoFile:
        points = [reporter.point(setting) for setting in settings]
        config = stored_config(self.stores)
        names = [_folder_name(number, point, self.candidates) for number, point in enumerate(points)]
        about: About = {
            'stores': [str(store.folder) for store in self.stores],
            'cost': self.unit,
            'seed': self.seed,
            'units': {'select': len(reporter.select), 'report': len(reporter.report)},
            'configs': names if config is not None else None,
            **outcome,
        }
        result = as_json(points, covered, self.candidates, plan, about)
        with folder_written_whole(self.out) as folder:
            write_json(folder / 'pareto.json', result)
            (folder / 'pareto.csv').write_text(as_csv(points, self.candidates))
            figure = plot_front(
                points,
                reporter.singles(),
                self._figures(front([s for s in ensembles if len(s.chain) > 1]), reporter),
                str(plan.quality),
                self.unit,
            )
            save(figure, folder / 'pareto.png')
            if config is not None:
                for name, point in zip(names, points, strict=True):
                    write_chain(folder / name, config, point, plan, reporter)
        return result

    def _figures(self, settings: Sequence[Setting], reporter: Reporter) -> dict[str, Performance]:
        return {self.candidates.describe(setting.chain): reporter.figures(setting) for setting in settings}


def _rank(units: int, percent: int) -> int:
    return max(1, round(units * percent / 100)) - 1


def _folder_name(number: int, point: Point, candidates: Candidates) -> str:
    return f'{number:02d}_{"-".join(candidates.identities[stage].member for stage in point.chain)}'
