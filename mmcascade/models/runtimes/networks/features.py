# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The penultimate features of a classifier: what its last layer turns into class scores."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModel
from torch import Tensor, nn

from mmcascade.models.runtimes.networks.class_outputs import classifier_gives_logits, owner
from mmcascade.routing.fusion.stage_output import StageOutput, at_least_float32


def no_features(module: nn.Module) -> str | None:
    """Why :func:`feature_output` cannot serve a module, or None if it can."""
    if _timm_network(module) is not None:
        return None
    if not isinstance(module, BaseModel):
        return f'a {type(module).__name__} has no forward_features and forward_head as the networks of timm have'
    if owner(module, 'predict') != 'ImageClassifier' or not classifier_gives_logits(module):
        return f'a {type(module).__name__} with this head has no features that its last layer turns into logits'
    head = getattr(module, 'head', None)
    if not hasattr(head, 'pre_logits'):
        return f'{type(head).__name__} has no pre_logits'
    made_by = owner(head, 'pre_logits')
    if made_by in ('ConformerHead', 'DeiTClsHead'):
        return f'{type(head).__name__} has two rows of features per image, each with a last layer of its own'
    if made_by == 'ClsHead':
        return f'{type(head).__name__} is fed class scores, and the features lie inside the backbone'
    return None


def feature_output(module: nn.Module, inputs: Tensor) -> StageOutput:
    """Class scores and penultimate features of a batch, from one pass through the backbone.

    Args:
        module: a classifier in eval mode for which :func:`no_features` has no objection.
        inputs: ``(N, channels, H, W)``, as the module's data preprocessor leaves it.

    Returns:
        Logits ``(N, classes)``, those of :func:`~mmcascade.models.runtimes.networks.class_outputs.class_output`, and
        features ``(N, D)``.

    Raises:
        TypeError: if the features are no row per image.
    """
    network: Any = _timm_network(module)
    if network is not None:
        maps = network.forward_features(inputs)
        features, logits = network.forward_head(maps, pre_logits=True), network.forward_head(maps)
    else:
        maps = module.extract_feat(inputs)  # type: ignore[operator]
        features, logits = module.head.pre_logits(maps), module.head(maps)  # type: ignore[union-attr, operator]
    if not isinstance(features, Tensor) or features.dim() != 2:
        shape = f' of shape {tuple(features.shape)}' if isinstance(features, Tensor) else ''
        raise TypeError(
            f'the features of a {type(module).__name__} are a {type(features).__name__}{shape}, expected a '
            'tensor with one row per image (N, D)'
        )
    return StageOutput(logits=at_least_float32(logits), features=at_least_float32(features))


def _timm_network(module: nn.Module) -> nn.Module | None:
    """The network of timm that gives the class scores of a module, or None."""
    if isinstance(module, BaseModel):
        if owner(module, 'predict') != 'TimmClassifier' or not classifier_gives_logits(module):
            return None
        module = module.model
    known = hasattr(module, 'forward_features') and hasattr(module, 'forward_head')
    return module if known else None
