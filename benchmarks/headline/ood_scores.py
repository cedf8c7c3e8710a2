# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which score tells images that belong to no class from those that do: energy, probabilities, or disagreement?

    python benchmarks/headline/ood_scores.py --json benchmarks/results/ood_scores.json

All members run once over calibration photographs, test photographs, and images of two other kinds; everything else is
replayed. Every score judges, against each kind by itself,

- the first and the last member alone, which cannot disagree with themselves;
- the ensemble of all members of a chain;
- the window cascade that is calibrated for this score, on calibration photographs alone (`own windows`): what
  `confidence=` of a config gives;
- the window cascade that is calibrated for the energy, where each image is judged by this score of the members that it
  ran (`energy's windows`): a score of its own beside the one that routes, which no config gives.

AUROC and FPR at TPR 95 % are in percent, with 95 % bootstrap intervals (images of either kind drawn by themselves), and
with paired intervals of their difference to the same system judged by the energy. `among_deferred` is the AUROC of
those images alone that ran a second member.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from numpy.typing import NDArray
from ood_systems import REFERENCE, Floats, Judged, Task

from mmcascade._system.quiet import quiet_libraries
from mmcascade.calibration.stores.score_store import ScoreStore
from mmcascade.comparison.classification.scores import SplitScores
from mmcascade.comparison.ood.comparison import ood_sets, set_names
from mmcascade.comparison.stores import own_store
from mmcascade.engine.runs.prepare_store import of_kind
from mmcascade.evaluation.curves.intervals.ranked import RankedStatistic, Resampling
from mmcascade.evaluation.curves.ranking.summaries import area_under_roc, false_positive_rate

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, print_table, write_lines

FIGURES: Mapping[str, RankedStatistic] = {
    'auroc': area_under_roc,
    'fpr95': partial(false_positive_rate, tpr=0.95),
}


@dataclass(frozen=True)
class DataSet:
    """Members and images.

    Attributes:
        members: config that names them.
        images: config with the calibration photographs, and a test loop over photographs and OOD sets.
        chains: names of members in order, per cascade.
        every: of the OOD images, one in so many is taken: fewer where members are slow.
    """

    members: str
    images: str
    chains: Sequence[Sequence[str]]
    every: int = 1


DATA = {
    'quickstart': DataSet(
        'configs/quickstart/committee.py',
        'configs/ood/fashion-mnist_window.py',
        (('small0', 'small1'), ('small0', 'small1', 'large')),
    ),
    'cifar10': DataSet(
        'configs/cifar10/family.py',
        'configs/ood/cifar10_window.py',
        (('resnet44', 'resnet56'), ('resnet20', 'resnet56'), ('resnet20', 'resnet32', 'resnet44', 'resnet56')),
    ),
    'imagenet_subset': DataSet(
        'configs/imagenet_subset/lites.py',
        'configs/ood/efficientnet-lite_imagenet_subset.py',
        (('lite0', 'lite2'), ('lite0', 'lite1', 'lite2')),
        every=6,
    ),
}


def figures_of(score: Floats, inside: NDArray[np.bool_], draws: Sequence[NDArray[np.int64]]) -> Floats:
    """All figures, as the images are and on each draw of them, ``(draws, figures)``; percent."""
    ranking = Resampling(score, inside)
    return 100 * np.array([[of(ranking.counted(times)) for of in FIGURES.values()] for times in draws])


def draws_of(inside: NDArray[np.bool_], repeats: int) -> list[NDArray[np.int64]]:
    """How often each image counts: once each, and then ID and OOD images drawn each by themselves."""
    rng, kinds = np.random.default_rng(0), (np.flatnonzero(inside), np.flatnonzero(~inside))
    made = [np.ones(len(inside), np.int64)]
    for _ in range(repeats):
        times = np.zeros(len(inside), np.int64)
        for kind in kinds:
            times[kind] = np.bincount(rng.integers(kind.size, size=kind.size), minlength=kind.size)
        made.append(times)
    return made


def rows_of(task: Task, names: NDArray[np.str_], about: Mapping[str, Any], repeats: int) -> list[dict[str, Any]]:
    """One row per system and score, with the figures against each OOD set."""
    sets = [str(name) for name in dict.fromkeys(names) if name != 'id']
    chosen = {name: np.flatnonzero((names == 'id') | (names == name)) for name in sets}
    draws = {name: draws_of(names[units] == 'id', repeats) for name, units in chosen.items()}
    rows, reference = [], {}
    for system, score, judged in task.systems():
        row: dict[str, Any] = dict(about, system=system, score=score)
        for name, units in chosen.items():
            found = _against(judged, units, names, draws[name])
            if score == REFERENCE:
                reference[system, name] = found
            row |= {f'{name}_{key}': value for key, value in _figures(found, reference[system, name]).items()}
            row[f'{name}_among_deferred'] = _among_deferred(judged, units, names)
        row['mmacs_id'] = row['mmacs_mixture'] = None
        if judged is not None:
            inside = names == 'id'
            own, others = judged.macs[inside].mean() / 1e6, judged.macs[~inside].mean() / 1e6
            row |= dict(mmacs_id=_number(own), mmacs_mixture=_number((own + others) / 2))
        rows.append(row)
    return rows


def _against(
    judged: Judged | None, units: NDArray[np.int64], names: NDArray[np.str_], draws: Sequence[NDArray[np.int64]]
) -> Floats | None:
    return None if judged is None else figures_of(judged.score[units], names[units] == 'id', draws)


def _figures(found: Floats | None, reference: Floats | None) -> dict[str, Any]:
    """Each figure with its ends, and its change from the reference with the ends of that."""
    made: dict[str, Any] = {}
    for f, figure in enumerate(FIGURES):
        made[figure] = None if found is None else [_number(value) for value in _with_ends(found[:, f])]
        change = None if found is None or reference is None else _with_ends((found - reference)[:, f])
        made[f'{figure}_change'] = None if change is None else [_number(value) for value in change]
    return made


def _with_ends(values: Floats) -> list[float]:
    """What the images themselves give, and the ends of what 95 % of the draws give."""
    return [values[0], *np.quantile(values[1:], [0.025, 0.975])]


def _among_deferred(judged: Judged | None, units: NDArray[np.int64], names: NDArray[np.str_]) -> float | None:
    """AUROC of those that ran a second member; None where nobody, or only one kind of images, did."""
    if judged is None:
        return None
    there = units[judged.deferred[units]]
    inside = names[there] == 'id'
    if not 0 < inside.sum() < inside.size:
        return None
    return _number(100 * area_under_roc(Resampling(judged.score[there], inside).everybody()))


def _number(value: float) -> float:
    return float(f'{value:.4g}')


def scores_of(name: str, folder: Path) -> tuple[SplitScores, SplitScores, NDArray[np.str_]]:
    """Of the calibration photographs and of all test images, and the set of each of these."""
    data = DATA[name]
    cfg = Config.fromfile(data.images)
    cfg.model = Config.fromfile(data.members).model
    used = {member for chain in data.chains for member in chain}
    cfg.model.stages = [stage for stage in cfg.model.stages if stage.member in used]
    cfg.model.members = {member: cfg.model.members[member] for member in cfg.model.members if member in used}
    cfg.model.confidence, cfg.model.fusion = REFERENCE, 'prob'
    init_default_scope(cfg.default_scope)
    for dataset in ood_sets(cfg).values():
        dataset.indices = list(range(0, len(DATASETS.build(copy.deepcopy(dataset))), data.every))
    print(f'{name}: scores of all images')
    calibration, test = (
        SplitScores.of(*of_kind(ScoreStore, own_store(cfg, folder / name / part, f'{split}_dataloader', print)))
        for part, split in (('calibration_scores', 'val'), ('test_scores', 'test'))
    )
    return calibration, test, set_names(cfg)


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """What is printed of a row: figures with their ends."""
    return {
        key: f'{value[0]} ({value[1]} to {value[2]})' if isinstance(value, list) else value
        for key, value in row.items()
        if not key.endswith('_change')
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--data', nargs='+', choices=list(DATA), default=list(DATA), help='default: all')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/ood_scores'), help='of the stored scores')
    parser.add_argument('--target', default='tpr=0.95', help='what windows are placed for')
    parser.add_argument('--temperatures', nargs='+', choices=('none', 'auto'), default=['none', 'auto'])
    parser.add_argument('--repeats', type=int, default=500, help='draws of images')
    args = parser.parse_args()
    quiet_libraries()
    rows = []
    for name in args.data:
        calibration, test, names = scores_of(name, args.work_dir)
        for chain in DATA[name].chains:
            for temperatures in args.temperatures:
                task = Task(calibration, test, chain, args.target, temperatures)
                about = dict(data=name, chain=' > '.join(chain), temperatures=temperatures, target=args.target)
                about |= dict(images=int((names == 'id').sum()))
                rows += rows_of(task, names, about, args.repeats)
    print_table([shown(row) for row in rows])
    if args.json:
        write_lines(args.json, rows)


if __name__ == '__main__':
    main()
