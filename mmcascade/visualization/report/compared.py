# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The part of the page that a comparison of any systems has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade._system.files import written_whole
from mmcascade._system.tables import Column, Table, with_interval
from mmcascade.calibration.fit.target import Target
from mmcascade.evaluation.standings.measure import measure_for
from mmcascade.evaluation.standings.standings import Standings, System
from mmcascade.evaluation.standings.table import standings_table
from mmcascade.visualization.report.charts.curves import cost_chart, risk_coverage_chart
from mmcascade.visualization.report.charts.looks import numbered_looks
from mmcascade.visualization.report.charts.svg import Chart
from mmcascade.visualization.report.findings.classes import MOST_CLASSES
from mmcascade.visualization.report.gallery import EACH, Group, Images, Opinion, Shown, thumbnail
from mmcascade.visualization.report.section import Told

_TEXTS, _NUMBERS = ('names', 'classes', 'files'), ('truth', 'label', 'confidence', 'macs')


@dataclass(frozen=True)
class Judgements:
    """What S systems say of N images.

    Attributes:
        names: of the systems.
        classes: their names.
        files: of the images.
        truth: int64 ``(N)``.
        label: int64 ``(S, N)``.
        confidence, macs: float64 ``(S, N)``.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    files: tuple[str, ...]
    truth: NDArray[np.int64]
    label: NDArray[np.int64]
    confidence: NDArray[np.float64]
    macs: NDArray[np.float64]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Bool ``(S, N)``."""
        return self.label != self.truth

    def systems(self) -> list[System]:
        """As they are compared."""
        rows = zip(self.names, self.confidence, self.wrong, self.macs, strict=True)
        return [System(*row) for row in rows]

    def save(self, path: Path) -> None:
        """Write an ``.npz`` without pickles."""
        arrays: dict[str, Any] = {
            **{key: np.array(getattr(self, key), dtype=np.str_) for key in _TEXTS},
            **{key: getattr(self, key) for key in _NUMBERS},
        }
        with written_whole(path, 'wb') as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> Judgements:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError, KeyError, OSError: if it is none.
        """
        with np.load(path, allow_pickle=False) as found:
            fields: dict[str, Any] = {key: tuple(found[key].tolist()) for key in _TEXTS}
            return cls(**fields, **{key: found[key] for key in _NUMBERS})


@dataclass(frozen=True)
class ComparedSection:
    """A comparison on the page.

    Attributes:
        told: its names, images and commands.
        verdict: what the differences say.
        units: number of images.
        table: of the systems.
        differences: to the reference, paired.
        charts: by name.
        groups: images that one system gets right and the other wrong.
        classes: accuracy per class and system, the least accurate first.
        class_count: of all classes.
    """

    told: Told
    verdict: str
    units: int
    table: Table
    differences: Table
    charts: dict[str, Chart]
    groups: list[Group]
    classes: Table
    class_count: int

    template = 'compared.html'
    moved = None

    @property
    def title(self) -> str:
        """Over the page."""
        return f'{self.told.title}: {", ".join(row[0] for row in self.table.texts())}'


def compared_section(told: Told, judged: Judgements, target: str) -> ComparedSection:
    """The section of systems on the same images.

    Args:
        told: names, images and commands.
        judged: what they say.
        target: by which they are compared.
    """
    wanted = Target.parse(target)
    systems = judged.systems()
    standings = Standings(systems, measure_for(wanted.kind, wanted.value))
    reference = max(standings, key=lambda standing: standing.cost).name
    looks = numbered_looks(len(systems))
    rows, sentences = [], []
    for name in (name for name in standings.names if name != reference):
        gap = standings.difference(name, reference)
        ratio = standings[name].cost / standings[reference].cost if standings[reference].cost else float('nan')
        points = with_interval(gap.estimate, gap.low, gap.high, '+.1f', 100)
        finding = 'better' if gap.low > 0 else 'worse' if gap.high < 0 else 'not told apart'
        rows.append([name, points, f'{ratio:.2f}x', finding])
        sentences.append(f'{name} costs {ratio:.2f}x of {reference}, {standings.measure.name} {points}')
    columns = [
        Column('system', left=True),
        Column(f'{standings.measure.name}, points'),
        Column('cost'),
        Column('finding', left=True),
    ]
    target_risk = wanted.value if wanted.kind == 'risk' else None
    classes = _classes(judged)
    return ComparedSection(
        told=told,
        verdict='; '.join(sentences) + '.',
        units=standings.units,
        table=standings_table(standings, reference),
        differences=Table.of(columns, rows),
        charts={
            'curve': risk_coverage_chart('curve', systems, looks, target_risk),
            'cost': cost_chart('cost', standings, looks),
        },
        groups=[] if told.images is None else _groups(judged, reference, told.images),
        classes=Table.of([Column('class', left=True), 'images', *judged.names], classes[:MOST_CLASSES]),
        class_count=len(classes),
    )


def _classes(judged: Judgements) -> list[list[Any]]:
    rows = []
    for label in np.unique(judged.truth[judged.truth >= 0]).tolist():
        here = judged.truth == label
        right = 100 * (1 - judged.wrong[:, here].mean(1))
        rows.append((right.min(), [_name(judged, label), str(here.sum()), *(f'{share:.1f}' for share in right)]))
    return [row for _, row in sorted(rows, key=lambda entry: (entry[0], entry[1][0]))]


def _groups(judged: Judgements, reference: str, images: Images, seed: int = 0) -> list[Group]:
    generator = np.random.default_rng(seed)
    wrong, last = judged.wrong, judged.names.index(reference)
    groups = []
    for number in (number for number in range(len(judged.names)) if number != last):
        for good, bad in ((number, last), (last, number)):
            units = np.flatnonzero(~wrong[good] & wrong[bad])
            shown: list[Shown] = []
            for unit in generator.permutation(units)[: 3 * EACH].tolist():
                picture = thumbnail(images.picture(unit))
                if picture is not None and len(shown) < EACH:
                    shown.append(_shown(picture, unit, judged, images.names, bad))
            if units.size:
                title = f'{judged.names[good]} is right, {judged.names[bad]} is wrong'
                groups.append(Group(title, int(units.size), shown))
    return groups


def _shown(picture: str, unit: int, judged: Judgements, names: Sequence[str], system: int) -> Shown:
    opinions = [
        Opinion(name, _name(judged, int(judged.label[k, unit])), float(judged.confidence[k, unit]), True)
        for k, name in enumerate(judged.names)
    ]
    label, confidence = int(judged.label[system, unit]), float(judged.confidence[system, unit])
    return Shown(
        picture, names[unit], _name(judged, int(judged.truth[unit])), _name(judged, label), confidence, opinions
    )


def _name(judged: Judgements, label: int) -> str:
    return judged.classes[label] if 0 <= label < len(judged.classes) else str(label)
