# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How the rows of a classifier become class scores.

The classes of the libraries are recognised by name, so that nothing has to be imported for it and
the forks' classes count as well.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmcascade.routing.fusion.stage_output import StageOutput, at_least_float32

#: A member on a preprocessed batch.
ScoreFunction = Callable[[nn.Module, Tensor], StageOutput]

_SOFTMAX_CLASSIFIERS = ('TimmClassifier', 'HuggingFaceClassifier')


def classifier_gives_logits(module: nn.Module) -> bool:
    """Whether :func:`class_output` gives logits (else energy and max-logit have no meaning).

    True where ``mode='tensor'`` is known to be what the library's own ``predict`` feeds to softmax.
    A class that overrides that ``predict`` may do something else, and then only its probabilities
    are used. A module that is no MM model gives logits by definition.
    """
    if not isinstance(module, BaseModel):
        return True
    if owner(module, 'predict') in _SOFTMAX_CLASSIFIERS:
        return owner(module, '_get_predictions') in _SOFTMAX_CLASSIFIERS
    head = getattr(module, 'head', None)
    return (
        owner(module, 'predict') == 'ImageClassifier'
        and owner(head, 'predict') in ('ClsHead', 'ConformerHead')
        and owner(head, '_get_predictions') == 'ClsHead'
    )


def class_output(module: nn.Module, inputs: Tensor) -> StageOutput:
    """The class scores of a batch, whose softmax is the ``pred_score`` of the library.

    Args:
        module: a classifier in eval mode.
        inputs: ``(N, channels, H, W)``, as the module's data preprocessor leaves it.

    Returns:
        ``(N, classes)`` in float32 or float64: logits where :func:`classifier_gives_logits`, else the
        probabilities that the library predicts.

    Raises:
        TypeError: the module gives something else than a row of class scores per image.
    """
    if not classifier_gives_logits(module):
        # Without data samples: predict would write its results into those it is given.
        samples = module(inputs, mode='predict')
        probabilities = torch.stack([sample.pred_score for sample in samples])
        return StageOutput(probabilities=at_least_float32(probabilities))
    scores = module(inputs, mode='tensor') if isinstance(module, BaseModel) else module(inputs)
    if isinstance(scores, tuple):
        # ConformerHead gives one tensor per branch, and its predict adds them up.
        scores = sum(scores[1:], start=scores[0])
    if not isinstance(scores, Tensor) or scores.dim() != 2:
        shape = f' of shape {tuple(scores.shape)}' if isinstance(scores, Tensor) else ''
        raise TypeError(
            f'{type(module).__name__} gave a {type(scores).__name__}{shape}, expected '
            'a tensor of class scores (N, classes)'
        )
    if scores.shape[1] == 1:
        raise TypeError(
            f'{type(module).__name__} gave one score per image, and softmax over one class is 1 for every image. Give '
            'it a score for each of its two classes; a sigmoid network has the logits (0, z)'
        )
    return StageOutput(logits=at_least_float32(scores))


def class_values(module: nn.Module, inputs: Tensor) -> Tensor:
    """The values of :func:`class_output`."""
    return class_output(module, inputs).values


def owner(part: object, method: str) -> str | None:
    """The name of the class that defines the method that would be called."""
    return next((base.__name__ for base in type(part).__mro__ if method in vars(base)), None)
