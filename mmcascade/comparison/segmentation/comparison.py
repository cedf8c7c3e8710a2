# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A segmentation cascade beside its members, their ensemble, image-level and random deferral on a test split."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS

from mmcascade._system.files import write_json
from mmcascade._system.machine import machine
from mmcascade.calibration.fit.calibrate import calibrate, share_curve
from mmcascade.calibration.fit.evidence import Evidence
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.replay.quality import MeanIoU
from mmcascade.calibration.replay.routes import Routes
from mmcascade.calibration.replay.stored_stages import StoredCells
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.comparison.segmentation.cell_shape import CellShape
from mmcascade.comparison.segmentation.plot import plot_miou_against_macs
from mmcascade.comparison.segmentation.results import SegIntervals, SegResults
from mmcascade.comparison.stores import own_store
from mmcascade.comparison.testing import measured
from mmcascade.engine.configs.testing import Drawing
from mmcascade.engine.console.progress import Say
from mmcascade.engine.runs.prepare_store import of_kind
from mmcascade.evaluation.curves.intervals.bootstrap import IntervalOf
from mmcascade.evaluation.curves.intervals.miou_bootstrap import miou_difference, miou_interval
from mmcascade.routing import ExitPolicy, RandomPolicy, WindowPolicy
from mmcascade.visualization.style import save

SCHEMA = 1
CALIBRATION, TEST = 'val_dataloader', 'test_dataloader'
IMAGE, ENSEMBLE = 'image', 'ensemble'

Model = dict[str, Any]
Stored = tuple[CellStore, CascadeIdentity]


@dataclass(frozen=True)
class CellSystem:
    """One row of the comparison.

    Attributes:
        model: what to change in the model's config to get it.
        store: name of the stored cells that replay it.
        policy: between the stages of that store.
    """

    model: Model
    store: str
    policy: ExitPolicy


class SegmentorComparison:
    """Calibrates and tests systems that are made of the two stages of a config.

    Args:
        cfg: config of a CascadeSegmentor with two stages and trained members.
        work_dir: gets ``results.json``, the pictures, the stores, and a config and calibration file for each system.
        others: further cells to try beside the config's, such as '160', '72x480' (height and width), or '72x480@2'
            where at most 2 cells of an image may go on.
        budget: multiply-adds that cascades may spend on average, as a share of the second member's on whole images.
        say: prints one line of progress.

    Raises:
        ValueError: if the config has another number of stages, or the budget is no number > 0.
    """

    def __init__(
        self,
        cfg: Config,
        work_dir: Path,
        others: Sequence[str] = (),
        budget: float = 0.75,
        say: Say = print,
    ) -> None:
        if len(cfg.model.stages) != 2:
            raise ValueError(f'the comparison takes a cascade of two stages, got {len(cfg.model.stages)}')
        if not 0 < budget < math.inf:
            raise ValueError(f"budget is a share > 0 of the second member's multiply-adds, got {budget!r}")
        self.cfg, self.work_dir, self.budget, self.say = cfg, work_dir, budget, say
        first, second = (dict(stage) for stage in cfg.model.stages)
        self.first, self.second = first['member'], second['member']
        grid = dict(cell=512, margin=0) | dict(cfg.model.get('grid') or {})
        whole = dict(cell=None, margin=0)
        self.cells = [CellShape.parse(grid['cell']), *map(CellShape.parse, others)]
        self.models: dict[str, Model] = {
            self.second: dict(grid=whole, stages=[second | dict(on='image')]),
            IMAGE: dict(grid=whole, stages=[first, second | dict(on='image')]),
            ENSEMBLE: dict(
                grid=whole,
                stages=[first, second | dict(on='image')],
                fusion='prob' if cfg.model.get('fusion') == 'replace' else cfg.model.get('fusion', 'prob'),
            ),
            **{
                cell.size: dict(grid=grid | dict(cell=cell.shape), stages=[first, second | dict(on='cell')])
                for cell in self.cells
            },
        }
        work_dir.mkdir(parents=True, exist_ok=True)

    def run(self) -> SegResults:
        """Everything; returns what ``results.json`` holds."""
        sizes = list(dict.fromkeys(cell.size for cell in self.cells))
        calibration = {name: self._store(CALIBRATION, name) for name in (IMAGE, *sizes)}
        test = {name: self._store(TEST, name)[0] for name in self.models}
        macs = float(test[self.second].cells.macs.sum() / test[self.second].images)
        budget = self.budget * macs
        systems = self._systems(calibration, f'macs={budget:.6g}')
        unseen = {name: Evidence.of_cells(test[name], identity) for name, (_, identity) in calibration.items()}
        metrics = {name: self._test(name, system) for name, system in systems.items()}
        replays = {
            name: StoredCells(test[system.store]).route(tuple(range(system.policy.num_gaps + 1)), system.policy)
            for name, system in systems.items()
        }
        results: SegResults = {
            'schema': SCHEMA,
            'machine': machine(),
            'budget': self.budget,
            'cell': self.cells[0].size,
            'images': {'calibration': calibration[IMAGE][0].images, 'test': test[IMAGE].images},
            'members': [self.first, self.second],
            'systems': metrics,
            'macs_ratio': {name: row['cost/macs'] / metrics[self.second]['cost/macs'] for name, row in metrics.items()},
            'intervals': self._intervals(replays),
            'groups': self._groups(replays),
            'hindsight': {
                'calibration': hindsight(
                    {name: Evidence.of_cells(*known) for name, known in calibration.items()}, budget
                ),
                'test': hindsight(unseen, budget),
            },
            'curves': {name: deferral_curve(evidence) for name, evidence in unseen.items()},
        }
        save(plot_miou_against_macs(results), self.work_dir / 'miou_macs.png', formats=('pdf',))
        write_json(self.work_dir / 'results.json', results)
        return results

    def _store(self, split: str, name: str) -> Stored:
        """Every stage on every cell of a split."""
        folder = self.work_dir / 'stores' / f'{split.removesuffix("_dataloader")}-{name}'
        self.say(f'all stages on all cells of {split}, cells: {name}')
        return of_kind(CellStore, own_store(self._config(name), folder, split, self.say))

    def _systems(self, stores: Mapping[str, Stored], target: str) -> dict[str, CellSystem]:
        """Members, ensemble, and cascades that meet the target on the calibration split."""
        alone, both = WindowPolicy([]), WindowPolicy([(None, None)])
        main, *others = self.cells
        fitted = {
            cell: calibrate(*stores[cell.size], CalibrationRequest(target, max_cells=cell.most)) for cell in self.cells
        }
        share = fitted[main].measured['deferred'][0]
        random = RandomPolicy([share])
        return {
            self.first: CellSystem(self.models[IMAGE] | dict(stages=self.models[IMAGE]['stages'][:1]), IMAGE, alone),
            self.second: CellSystem(self.models[self.second], self.second, alone),
            ENSEMBLE: CellSystem(self.models[ENSEMBLE] | dict(policy=_open()), ENSEMBLE, both),
            'cascade': self._cascade('cascade', main.size, fitted[main]),
            **{f'cascade {cell}': self._cascade(f'cascade {cell}', cell.size, fitted[cell]) for cell in others},
            'image level': self._cascade('image level', IMAGE, calibrate(*stores[IMAGE], CalibrationRequest(target))),
            'random cells': CellSystem(
                self.models[main.size] | dict(policy=dict(type='mmcascade.RandomPolicy', rates=[share])),
                main.size,
                random,
            ),
        }

    def _cascade(self, name: str, store: str, calibration: Calibration) -> CellSystem:
        path = self._path(name, 'json')
        calibration.save(path)
        return CellSystem(self.models[store] | dict(calibration=str(path)), store, calibration.policy())

    def _test(self, name: str, system: CellSystem) -> dict[str, Any]:
        """Write the system's config, test it, and return what it measured."""
        self.say(f'testing {name}')
        drawing = Drawing(show_dir=str(self.work_dir / 'pictures'), interval=4) if name == 'cascade' else None
        folder = self.work_dir / 'systems'
        return measured(self._config_of(system.model), folder, _file_name(name), folder / 'runs', drawing)

    def _path(self, name: str, ending: str) -> Path:
        return self.work_dir / 'systems' / f'{_file_name(name)}.{ending}'

    def _config(self, name: str) -> Config:
        return self._config_of(self.models[name])

    def _config_of(self, model: Model) -> Config:
        cfg = copy.deepcopy(self.cfg)
        for key in ('policy', 'calibration', 'grid', 'stages'):
            cfg.model.pop(key, None)
        cfg.model.update(copy.deepcopy(model))
        used = {stage['member'] for stage in cfg.model.stages}
        cfg.model.members = {name: spec for name, spec in cfg.model.members.items() if name in used}
        return cfg

    def _intervals(self, replays: Mapping[str, Routes]) -> SegIntervals:
        """Paired 95 % intervals over test images, in points of mIoU."""
        areas = {name: _areas(result) for name, result in replays.items()}

        def minus(other: str) -> IntervalOf:
            return asdict(miou_difference(areas['cascade'], areas[other]))

        return {
            'miou': {name: asdict(miou_interval(*area)) for name, area in areas.items()},
            'cascade_minus': {name: minus(name) for name in replays if name != 'cascade'},
        }

    def _groups(self, replays: Mapping[str, Routes]) -> dict[str, dict[str, float]]:
        """mIoU per drive, where the data set knows of drives."""
        dataset = DATASETS.build(copy.deepcopy(self.cfg[TEST].dataset))
        drives = np.array([str(dataset.get_data_info(i).get('drive', '')) for i in range(len(dataset))])
        if len(set(drives)) < 2:
            return {}
        return {
            drive: {'images': int((drives == drive).sum())}
            | {
                name: 100 * MeanIoU().measure(result, np.flatnonzero(drives == drive))
                for name, result in replays.items()
            }
            for drive in sorted(set(drives))
        }


def hindsight(stored: Mapping[str, Evidence], budget: float) -> dict[str, dict[str, float]]:
    """What the best threshold would reach on these very images within a budget of multiply-adds, per size of cells.

    Returns:
        Per store 'mIoU' in percent and 'macs' per image in G; nothing for a store that stage 0 alone takes beyond it.
    """
    best = {}
    for name, evidence in stored.items():
        quality, macs = share_curve(evidence, steps=400)
        within = np.flatnonzero(macs <= budget)
        if len(within):
            index = within[quality[within].argmax()]
            best[name] = {'mIoU': 100 * float(quality[index]), 'macs': float(macs[index]) / 1e9}
    return best


def deferral_curve(evidence: Evidence, steps: int = 100) -> dict[str, list[float]]:
    """'mIoU' in percent and 'macs' per image in G, as the share of the units that go on rises from none to all."""
    quality, macs = share_curve(evidence, steps=steps)
    return {'mIoU': (100 * quality).round(4).tolist(), 'macs': (macs / 1e9).round(6).tolist()}


def _file_name(system: str) -> str:
    return system.replace(' ', '_')


def _open() -> Model:
    return dict(type='mmcascade.WindowPolicy', windows=[(None, None)])


def _areas(result: Routes) -> tuple[np.ndarray, np.ndarray]:
    """Pixels per image and class that are right, and those that are predicted or labelled."""
    intersect, predicted = np.split(result.sums, 2, axis=1)
    return intersect, predicted + result.units.label - intersect
