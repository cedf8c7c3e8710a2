# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The class scores of a classifier for raw images."""

from __future__ import annotations

from mmengine.model import BaseModel
from torch import Tensor, nn

from mmcascade.models.runtimes.networks.class_outputs import (
    ScoreFunction,
    class_output,
    class_values,
    classifier_gives_logits,
)
from mmcascade.models.runtimes.networks.network import Network, Prepared
from mmcascade.routing import StageOutput


class ClassifierNetwork(Network):
    """A classifier as a function of raw images.

    Args:
        module: the member, in eval mode.
        scores: how the module is run: ``class_output``, or ``feature_output`` where features are wanted, too.
    """

    def __init__(self, module: nn.Module, scores: ScoreFunction = class_output) -> None:
        super().__init__(module)
        self.scores = scores
        self.gives_features = scores is not class_output

    @property
    def gives_logits(self) -> bool:
        """Whether the outputs are logits, and not probabilities."""
        return classifier_gives_logits(self.module)

    def prepare(self, images: Tensor) -> Prepared:
        """What the member's own preprocessing makes of images."""
        return Prepared(preprocess(self.module, images))

    def values(self, inputs: Tensor) -> Tensor:
        """What the network gives for prepared images."""
        return class_values(self.module, inputs)

    def run(self, prepared: Prepared) -> StageOutput:
        """Run images, or what was prepared of them."""
        return self.scores(self.module, prepared.inputs)


def preprocess(module: nn.Module, images: Tensor) -> Tensor:
    """The images as the module's own data preprocessor leaves them, on its device.

    A module without one, such as a plain torch one, gets them as they are, on the device of its parameters.
    """
    if not isinstance(module, BaseModel):
        parameter = next(module.parameters(), None)
        return images if parameter is None else images.to(parameter.device)
    return module.data_preprocessor(dict(inputs=images), False)['inputs']
