# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members: the models of a cascade, built, loaded and compared."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS
from torch import nn

from mmcascade.models.members.member_configs import model_config
from mmcascade.models.members.networks.mmaction_network import RecognizerNetwork, check_mmaction, is_recognizer
from mmcascade.models.members.networks.named_network import head_size
from mmcascade.models.members.networks.references import Reference, parse_reference
from mmcascade.models.members.other_tasks import other_task, other_task_of_config
from mmcascade.models.members.recipes.recipe import Recipe
from mmcascade.models.members.weights.checkpoints import Checkpoint, DamagedCheckpointError, load_weights
from mmcascade.models.members.weights.downloads import is_remote, local_file
from mmcascade.models.members.weights.strict_loading import load_strictly
from mmcascade.models.members.zoo import find_weights

ZOO = 'zoo'
_DICT = 'a dict in the config'


@dataclass
class Member:
    """A set of weights that stages run.

    Args:
        name: the key in ``members`` of the cascade's config.
        module: the model in eval mode, with its own data preprocessor.
        loaded: whether its weights come from somewhere; if not, they are random.
        classes: its class names, where its checkpoint (or the config) knows them.
        source: where it comes from, for messages.
        palette: the colours of its classes, where its checkpoint knows them.
        recipe: how it wants its images, where its library says so.
    """

    name: str
    module: nn.Module
    loaded: bool
    classes: tuple[str, ...] | None = None
    source: str = 'a module'
    palette: tuple[tuple[int, ...], ...] | None = None
    recipe: Recipe | None = None

    def __post_init__(self) -> None:
        reason = other_task(self.module)
        if reason is None and not hasattr(self.module, 'decode_head') and num_classes(self.module) == 1:
            reason = (
                f'{type(self.module).__name__}: it tells one class from the rest by a single output, and softmax over '
                'one class is 1 for every image; train it with num_classes=2'
            )
        if reason:
            raise _no_member(self.name, reason)

    @property
    def num_classes(self) -> int | None:
        """How many classes it tells apart, or None if neither head nor class names say so."""
        return num_classes(self.module) or (len(self.classes) if self.classes else None)


def build_member(
    name: str,
    model: str | Path | Mapping[str, Any] | nn.Module,
    checkpoint: str | PathLike[str] | None = None,
    unsafe_checkpoint: bool = False,
    classes: Sequence[str] | None = None,
) -> Member:
    """Builds a model and loads its weights, safely and strictly.

    Args:
        name: the member's name in the cascade.
        model: a reference into a zoo (see :func:`mmcascade.models.members.zoo.find_config`), ``timm/NAME``,
            ``torchvision/NAME``, ``hf-hub:ORG/NAME`` or a folder of Hugging Face, the path of a config file, a model
            dict, or a module that is already built (and counts as loaded).
        checkpoint: the path (or URL) of its weights; ``'zoo'`` for those that the zoo lists; None
            to build it without weights, in which case nothing is downloaded (but Hugging Face's
            description of an architecture that is no local folder).
        unsafe_checkpoint: read a checkpoint that brings code along, and run that code.
        classes: class names, instead of those in the checkpoint.

    Raises:
        ValueError: the name, the model or its task cannot be used.
        FileNotFoundError: a config or checkpoint is missing.
        CheckpointError: the checkpoint is unreadable, unsafe, or of another model.

    Example:
        >>> import torch
        >>> member = build_member('mine', torch.nn.Linear(4, 3), classes=('cat', 'dog', 'fox'))
        >>> member.loaded, member.num_classes, member.source
        (True, 3, 'a Linear built by the caller')
    """
    _check_name(name)
    reference = parse_reference(str(model)) if isinstance(model, (str, Path)) else None
    if reference is not None:
        member = _named_member(name, reference, checkpoint, unsafe_checkpoint)
    else:
        member = _built_member(name, model, checkpoint, unsafe_checkpoint)
    if classes is not None:
        member.classes = tuple(classes)
    # After loading: LeViT and TinyViT gather their attention biases when they enter eval mode.
    member.module.eval()
    return member


def _built_member(name: str, model: Any, checkpoint: str | PathLike[str] | None, unsafe: bool) -> Member:
    if isinstance(model, nn.Module):
        module, source = model, f'a {type(model).__name__} built by the caller'
    else:
        source = f"'{model}'" if isinstance(model, (str, Path)) else _DICT
        config = model_config(model)
        check_mmaction(name, config)
        if reason := other_task_of_config(config):
            raise _no_member(name, reason)
        module = _build(name, config, source)
    member = Member(name, module, isinstance(model, nn.Module), source=source)
    if checkpoint is not None:
        weights = _load(_weights(name, model, checkpoint), unsafe)
        load_strictly(module, weights, f"member '{name}', the {type(module).__name__} of {source}")
        member.loaded, member.classes, member.palette = True, weights.classes, weights.palette
    if is_recognizer(member.module):
        member.module = RecognizerNetwork(member.module)
    return member


def _named_member(name: str, reference: Reference, checkpoint: str | PathLike[str] | None, unsafe: bool) -> Member:
    """A member of another library; a checkpoint with a head for other classes gets a network with that head."""
    if checkpoint is None or checkpoint == ZOO:
        named = reference.load(reference.name, pretrained=checkpoint == ZOO or reference.has_weights)
    else:
        weights = _load(os.fspath(checkpoint), unsafe)
        named = reference.load(reference.name, pretrained=False)
        if other := head_size(named.network, weights.state_dict, named.num_classes):
            named = reference.load(reference.name, pretrained=False, num_classes=other)
        load_strictly(
            named.network, weights, f"member '{name}', the {type(named.network).__name__} of '{reference.name}'"
        )
        named = replace(named, loaded=True, classes=weights.classes or named.classes)
    return Member(name, named.module(), named.loaded, named.classes, source=f"'{reference.name}'", recipe=named.recipe)


def num_classes(module: nn.Module) -> int | None:
    """The number of classes of a classifier or segmentor, or None if its head does not tell."""
    decode_head = getattr(module, 'decode_head', None)
    if isinstance(decode_head, nn.ModuleList):  # a cascaded segmentor: the last one decides
        decode_head = decode_head[-1]
    # VGG and LeNet classify in the backbone; TimmClassifier and HuggingFaceClassifier keep the
    # whole network in `model`.
    inner = [getattr(module, name, None) for name in ('head', 'backbone', 'model')]
    for part in (decode_head, *inner, module):
        for attribute in ('num_classes', 'num_labels'):
            count = getattr(part, attribute, None)
            if isinstance(count, int) and count > 0:
                return count
    return None


def check_members(members: Sequence[Member]) -> None:
    """Refuses members that do not speak of the same classes in the same order.

    Raises:
        ValueError: two members differ in the number, the names or the colours of their classes.
    """
    counted = [member for member in members if member.num_classes is not None]
    for other in counted[1:]:
        first = counted[0]
        if other.num_classes != first.num_classes:
            raise ValueError(
                f"members '{first.name}' ({first.num_classes} classes) and '{other.name}' "
                f'({other.num_classes} classes) cannot share a cascade: their predictions are '
                'averaged class by class. Give them heads for the same classes'
            )
    named = [member for member in members if member.classes is not None]
    for other in named[1:]:
        _check_same_classes(named[0], other)
    coloured = [member for member in members if member.palette is not None]
    for other in coloured[1:]:
        if other.palette != coloured[0].palette:
            raise ValueError(
                f"members '{coloured[0].name}' and '{other.name}' were trained with different palettes, so they may "
                'have seen the classes in a different order: compare dataset_meta in their checkpoints. If the classes '
                "are the same, save one checkpoint again with the other's palette"
            )


def _check_same_classes(first: Member, other: Member) -> None:
    a, b = first.classes or (), other.classes or ()
    if len(a) != len(b):
        raise ValueError(
            f"members '{first.name}' ({len(a)} class names) and '{other.name}' "
            f'({len(b)} class names) cannot share a cascade'
        )
    for index, (one, another) in enumerate(zip(a, b, strict=True)):
        if one != another:
            raise ValueError(
                f"members '{first.name}' and '{other.name}' name class {index} differently: "
                f"'{one}' and '{another}'. Their predictions are averaged class by class, so the "
                'order must agree. If these names mean the same, give one of the members '
                'classes=[...] with the names of the other'
            )


def _no_member(name: str, reason: str) -> ValueError:
    return ValueError(f"member '{name}' cannot take part in a cascade, {reason}")


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name or '.' in name:
        raise ValueError(
            f'member name {name!r} cannot be used: it becomes a part of the names of '
            "weights, so it must be a non-empty string without '.'"
        )
    if hasattr(nn.ModuleDict(), name):
        raise ValueError(
            f'member name {name!r} cannot be used: torch modules have an attribute of that name. Choose another'
        )


def _build(name: str, config: dict[str, Any], source: str) -> nn.Module:
    try:
        module = MODELS.build(ConfigDict(config))  # segmentors read test_cfg.mode as an attribute
    except Exception as error:
        what = 'dict' if source == _DICT else 'config'
        fix = "_scope_='mmpretrain'" if source == _DICT else "default_scope='mmpretrain'"
        named = '_scope_' if source == _DICT else 'default_scope'
        hint = (
            ''
            if '_scope_' in config
            else f". The {what} has no '{named}'; add {fix} (or the library it is from) for its parts to be found"
        )
        raise ValueError(
            f"member '{name}' cannot be built from {source}: {type(error).__name__}: {error}{hint}"
        ) from error
    # Synchronised batch norm runs on GPUs only, and differs from the plain one only in training.
    if any(type(part).__name__ == 'SyncBatchNorm' for part in module.modules()):
        module = revert_sync_batchnorm(module)
    return module


def _weights(name: str, model: Any, checkpoint: str | PathLike[str]) -> str:
    """The path or URL of a member's weights."""
    if checkpoint != ZOO:
        return os.fspath(checkpoint)
    if not isinstance(model, str):
        raise ValueError(
            f"member '{name}': checkpoint='zoo' needs a model of the zoo, given "
            "by its name or as 'mmpretrain::...'. Give a path instead"
        )
    return find_weights(model)


def _load(weights: str, allow_unsafe: bool) -> Checkpoint:
    if '://' not in weights and not Path(weights).expanduser().is_file():
        return load_weights(weights)  # says what there is instead
    file = local_file(weights)
    try:
        return load_weights(file, allow_unsafe)
    except DamagedCheckpointError as error:
        if not is_remote(weights):
            raise
        file.unlink(missing_ok=True)
        raise DamagedCheckpointError(
            f"{error}. It was downloaded from '{weights}' and has been deleted, so the next run fetches it anew; if "
            'that ends like this again, the URL gives something else than weights'
        ) from error
