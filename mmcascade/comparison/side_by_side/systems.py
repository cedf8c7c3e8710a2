# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Cascades and single models as a command line names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmcascade.comparison.build.views import pipeline_for, view_of
from mmcascade.comparison.build.words import NamedMember, named_members
from mmcascade.engine.console.configs import CONFIG, read_config
from mmcascade.engine.predict.deciders.decider import BUNDLE, Decider
from mmcascade.engine.predict.deciders.model_decider import ModelDecider
from mmcascade.engine.predict.deciders.open_decider import open_decider
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.cascades import cascade_class
from mmcascade.models.parts.cascade_parts import classifier_from_spec


def open_systems(words: Sequence[str]) -> dict[str, Decider[Any]]:
    """What decides, by name, in the order given.

    Args:
        words: folders of builds and exports, configs of cascades, and members (each optionally with a checkpoint behind
            it) as :func:`~mmcascade.comparison.build.words.named_members` reads them.

    Raises:
        ValueError, OSError: saying which of them cannot be used.
    """
    systems: dict[str, Decider[Any]] = {}
    waiting: list[str] = []

    def put(name: str, decider: Decider[Any]) -> None:
        number, free = 2, name
        while free in systems:
            free, number = f'{name}_{number}', number + 1
        systems[free] = decider

    def flush() -> None:
        for member in named_members(waiting):
            put(member.name, single(member))
        waiting.clear()

    for index, word in enumerate(words):
        alone = index + 1 == len(words) or not words[index + 1].endswith(('.pth', '.pt', '.safetensors', '.bin'))
        if _is_cascade(word, alone):
            flush()
            put(_name(Path(word)), _classifier(word))
        else:
            waiting.append(word)
    flush()
    return systems


def single(named: NamedMember) -> ModelDecider:
    """A member that decides alone, on what its library or its config shows it."""
    member = classifier_from_spec(named.name, named.spec)
    spec = dict(model=member.module, classes=member.classes)
    model = WindowCascadeClassifier({named.name: spec}, [dict(member=named.name, view=0)])
    return ModelDecider(model, pipeline_for([view_of(named, member)]), named.name)


def _classifier(word: str) -> Decider:
    decider = open_decider(word)
    if decider.task == 'segmentation':
        raise ValueError(
            f'{word} labels pixels, and classifiers are compared here; mmcascade build --task segmentation and '
            'mmcascade compare_segmentors CONFIG compare a cascade of segmentors with its members'
        )
    return decider


def _is_cascade(word: str, alone: bool) -> bool:
    path = Path(word).expanduser()
    if path.is_dir():
        return (path / CONFIG).is_file() or (path / BUNDLE).is_file()
    return alone and path.suffix == '.py' and path.is_file() and cascade_class(read_config(path)) is not None


def _name(path: Path) -> str:
    return path.resolve().name if path.is_dir() else path.stem if path.name != CONFIG else path.resolve().parent.name
