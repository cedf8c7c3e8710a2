# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images by where they leave and what is decided about them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcascade.calibration.replay.routes import Routes
from mmcascade.visualization.report.findings.judged import StoredSplit

#: RGB uint8 ``(H, W, 3)`` of an image of a split, or None where it cannot be shown.
Picture = Callable[[int], NDArray[np.uint8] | None]
DECISIONS = ('accepted, right', 'accepted, wrong', 'rejected')
EACH, MOST = 6, 108
_SIDE, _QUALITY = 112, 80


@dataclass(frozen=True)
class Opinion:
    """What a member says of an image by itself.

    Attributes:
        member: its name.
        label: its class.
        probability: of that class.
        ran: whether the cascade asked it.
    """

    member: str
    label: str
    probability: float
    ran: bool


@dataclass(frozen=True)
class Shown:
    """One image of the gallery.

    Attributes:
        picture: as a data URL.
        name: of the image.
        truth, label: its class, and that which the cascade gives.
        confidence: of the cascade.
        opinions: of all members.
    """

    picture: str
    name: str
    truth: str
    label: str
    confidence: float
    opinions: list[Opinion]


@dataclass(frozen=True)
class Group:
    """Images that leave after one stage with one decision.

    Attributes:
        title: in words.
        units: how many there are of them.
        shown: some: of the wrong ones those of which the cascade was most certain, else a random draw.
    """

    title: str
    units: int
    shown: list[Shown]


@dataclass(frozen=True)
class Images:
    """The images of a split.

    Attributes:
        names: of the images, such as their paths.
        picture: gives one of them.
    """

    names: Sequence[str]
    picture: Picture


def gallery(
    split: StoredSplit, routes: Routes, accept: float | None, classes: Sequence[str], images: Images, seed: int = 0
) -> list[Group]:
    """Groups of images by exit and decision, those with no image left out.

    Args:
        split: the stored scores.
        routes: what the cascade does with them.
        accept: threshold; None = everything is accepted.
        classes: names.
        images: the images of the split, in its order.
        seed: of the draws.
    """
    accepted = np.ones(len(split.labels), bool) if accept is None else routes.confidence >= accept
    decision = np.where(accepted, routes.wrong.astype(int), 2)
    generator = np.random.default_rng(seed)
    each = min(EACH, max(1, MOST // (3 * routes.stages)))
    groups = []
    for stage in range(routes.stages):
        for kind, words in enumerate(DECISIONS):
            units = np.flatnonzero((routes.exit_stage == stage) & (decision == kind))
            if not units.size:
                continue
            order = (
                units[np.argsort(-routes.confidence[units], kind='stable')]
                if kind == 1
                else generator.permutation(units)
            )
            shown: list[Shown] = []
            for unit in order[: 3 * each].tolist():
                picture = thumbnail(images.picture(unit))
                if picture is not None and len(shown) < each:
                    shown.append(_shown(picture, unit, split, routes, classes, images.names))
            groups.append(Group(f'{words}, after {split.names[stage]}', int(units.size), shown))
    return groups


def thumbnail(picture: NDArray[np.uint8] | None, side: int = _SIDE) -> str | None:
    """A small JPEG as a data URL; tiny images are enlarged so that their pixels are seen."""
    if picture is None:
        return None
    image = Image.fromarray(picture)
    factor = side / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    small = image.resize(size, Image.Resampling.NEAREST if factor > 2 else Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, 'JPEG', quality=_QUALITY)
    return 'data:image/jpeg;base64,' + base64.b64encode(buffer.getvalue()).decode()


def _shown(
    picture: str, unit: int, split: StoredSplit, routes: Routes, classes: Sequence[str], names: Sequence[str]
) -> Shown:
    opinions = []
    stages, last = split.source.stages, int(routes.exit_stage[unit])
    for stage, name in enumerate(split.names):
        values = stages[stage].values[unit].double() / (stages[stage].temperature if stages[stage].is_logits else 1)
        probabilities = values.softmax(0) if stages[stage].is_logits else values
        best = int(probabilities.argmax())
        opinions.append(Opinion(name, _name(classes, best), float(probabilities[best]), stage <= last))
    label = int(split.labels_after([unit], last)[0])
    return Shown(
        picture,
        names[unit],
        _name(classes, int(split.labels[unit])),
        _name(classes, label),
        float(routes.confidence[unit]),
        opinions,
    )


def _name(classes: Sequence[str], label: int) -> str:
    if label < 0:
        return 'none of the classes'
    return classes[label] if label < len(classes) else str(label)
