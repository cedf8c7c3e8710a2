# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members as a command line names them: ``A [CHECKPOINT] B [CHECKPOINT] ...``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcascade.models.members.members import ZOO
from mmcascade.models.members.networks.references import parse_reference
from mmcascade.models.members.weights.downloads import is_remote

#: How files of weights end.
_WEIGHTS = ('.pth', '.pt', '.bin', '.safetensors', '.tar', '.ckpt')
_CONFIGS = ('.py', '.json', '.yaml', '.yml')


@dataclass(frozen=True)
class NamedMember:
    """A member, unbuilt.

    Attributes:
        name: in the cascade.
        model: what :func:`~mmcascade.models.members.members.build_member` takes; of files the absolute path.
        checkpoint: path or URL of its weights, or 'zoo' for those of its library.
        classes: names of its classes, where neither its checkpoint nor its library knows them.
    """

    name: str
    model: str
    checkpoint: str
    classes: tuple[str, ...] | None = None

    @property
    def spec(self) -> dict[str, Any]:
        """Its entry in ``members`` of a config."""
        named = {} if self.classes is None else {'classes': list(self.classes)}
        return {'model': self.model, 'checkpoint': self.checkpoint, **named}


def named_members(words: Sequence[str]) -> list[NamedMember]:
    """Read the members of a command line; a checkpoint belongs to the model before it.

    Args:
        words: of each member its model, and optionally a checkpoint.

    Raises:
        ValueError, FileNotFoundError: saying what to put right.

    Example:
        >>> [(m.name, m.checkpoint) for m in named_members(['timm/resnet18', 'timm/resnet50.a1_in1k'])]
        [('resnet18', 'zoo'), ('resnet50_a1_in1k', 'zoo')]
    """
    pairs: list[tuple[str, str | None]] = []
    for word in words:
        if not _is_weights(word):
            pairs.append((word, None))
        elif not pairs or pairs[-1][1] is not None:
            raise ValueError(f'{word} is a checkpoint and follows no model; a model comes first, then its checkpoint')
        else:
            pairs[-1] = pairs[-1][0], word
    members: list[NamedMember] = []
    for model, checkpoint in pairs:
        if checkpoint is None and model.endswith(_CONFIGS):
            raise ValueError(f'{model} is a config without a checkpoint; write the path of its weights behind it')
        weights = checkpoint or ZOO
        if checkpoint is not None and checkpoint != ZOO and not is_remote(checkpoint):
            if not Path(checkpoint).expanduser().is_file():
                raise FileNotFoundError(f"there is no checkpoint '{checkpoint}'{_beside(Path(checkpoint))}")
            weights = str(Path(checkpoint).expanduser().resolve())
        there = Path(model).expanduser()
        absolute = str(there.resolve()) if there.exists() and parse_reference(model) is not None else model
        absolute = str(there.resolve()) if there.is_file() else absolute
        members.append(NamedMember(_free_name(model, [m.name for m in members]), absolute, weights))
    return members


def _is_weights(word: str) -> bool:
    return word == ZOO or word.endswith(_WEIGHTS)


def _free_name(model: str, taken: Sequence[str]) -> str:
    stem = model.removesuffix('/').rpartition('/')[2]
    for ending in _CONFIGS:
        stem = stem.removesuffix(ending)
    stem = re.sub(r'[^\w-]+', '_', stem.rpartition(':')[2]) or 'member'
    name, number = stem, 2
    while name in taken:
        name, number = f'{stem}_{number}', number + 1
    return name


def _beside(path: Path) -> str:
    if not path.parent.is_dir():
        return f', nor a folder {path.parent}'
    found = sorted(file.name for file in path.parent.iterdir() if file.name.endswith(_WEIGHTS))
    return f'; in {path.parent} there is {", ".join(found[:5])}' if found else f'; {path.parent} holds none'
