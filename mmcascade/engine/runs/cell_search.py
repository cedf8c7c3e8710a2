# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From a store of cells to tables, pictures and ready-to-run configs of segmentation cascades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmcascade.calibration.fit.calibration_file import Calibration
from mmcascade.calibration.fit.cell_fit import measure_cells
from mmcascade.calibration.fit.held_out import hold_out
from mmcascade.calibration.search.cell_candidates import CellCandidates
from mmcascade.calibration.search.cell_report import CellPoint, CellReporter
from mmcascade.calibration.search.cell_search import CellPlan, search_cells
from mmcascade.calibration.search.chain_search import Setting
from mmcascade.calibration.search.search_report import Figures
from mmcascade.calibration.search.searcher import Found, Progress
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.engine.configs.chains import chain_config
from mmcascade.engine.runs.search import MILLISECONDS, MULTIPLY_ADDS, SearchRun


@dataclass(frozen=True)
class CellSearchRun(SearchRun):
    """A store of cells, what to do with its images, and where the results go; see :class:`SearchRun`."""

    stores: Sequence[CellStore]
    candidates: CellCandidates

    @classmethod
    def open(
        cls, folders: Sequence[str | Path], out: str | Path, costs: Mapping[str, float] | None = None, **options: Any
    ) -> CellSearchRun:
        """Open a store.

        Args:
            folders: one.
            costs: milliseconds per stage, in place of multiply-adds; see
                :meth:`~mmcascade.calibration.search.cell_candidates.CellCandidates.from_store`.

        Raises:
            ValueError: if there is more than one store, or the output folder holds something.
        """
        out = cls._checked(Path(out), options.get('points', cls.points))
        if len(folders) != 1:
            raise ValueError(
                f'cells are searched in one store, which knows what its stages give together, got '
                f'{len(folders)}; fill one from a config with every stage that is to be tried'
            )
        store = CellStore.open(folders[0])
        candidates = CellCandidates.from_store(store, costs)
        return cls([store], candidates, MULTIPLY_ADDS if costs is None else MILLISECONDS, out, **options)

    def converted(self, chain: str, goal: str, plan: CellPlan) -> dict[str, Any]:
        """Refused: there is no ensemble to convert."""
        raise ValueError(
            'a store of cells has no ensemble to convert: search it with --reach, the mIoU to keep, or --max-cost'
        )

    def confidences(self, chain: str, fusion: str) -> dict[str, float]:
        """Refused: there is one confidence function."""
        raise ValueError('a store of cells keeps the scores of one confidence function, so there are none to compare')

    def _halves(self) -> tuple[np.ndarray, np.ndarray]:
        return hold_out(np.zeros(self.stores[0].images, np.int64), 0.5, self.seed)

    def _search(self, select: np.ndarray, plan: CellPlan, progress: Progress) -> Found:
        return search_cells(self.candidates, select, plan, progress)

    def _reporter(self, plan: CellPlan, select: np.ndarray, report: np.ndarray) -> CellReporter:
        return CellReporter(self.candidates, plan, select, report, self.repeats)

    def _about(self, found: Found, plan: CellPlan, reporter: CellReporter) -> dict[str, Any]:
        return {'max_cells': plan.max_cells}

    def _singles(self, ensembles: Sequence[Setting], reporter: CellReporter) -> dict[str, Figures]:
        return reporter.singles()

    def _write_chain(
        self, folder: Path, config: dict[str, Any], point: CellPoint, plan: CellPlan, reporter: CellReporter
    ) -> None:
        folder.mkdir(parents=True)
        chain_calibration(point, self.candidates, plan, reporter).save(folder / 'calibration.json')
        (folder / 'config.py').write_text(
            f'# {self.candidates.describe(point.chain)}, found by tools/search.py for '
            f'{plan.quality}.\n' + chain_config(config, point).pretty_text
        )


def chain_calibration(
    point: CellPoint, candidates: CellCandidates, plan: CellPlan, reporter: CellReporter
) -> Calibration:
    """The calibration file of a searched cascade; its figures are those of the images the search did not see."""
    header = candidates.store.header
    max_cells = plan.max_cells if len(point.chain) > 1 else None
    fitted = Calibration(
        cascade=candidates.identity(point.chain),
        windows=list(point.windows),
        accept=None,
        temperatures=[header.temperatures[stage] for stage in point.chain],
        target=str(plan.quality),
        rule='search',
        half_width=0.0,
        tau=[],
        data=header.identity.data.summary(),
        max_cells=max_cells,
    )
    return replace(
        fitted,
        measured=measure_cells(
            candidates.store, point.chain, fitted.policy(), max_cells=max_cells, images=reporter.report
        ),
    )
