# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images in, decisions out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmpretrain.apis import ImageClassificationInferencer
from mmpretrain.structures import DataSample

from mmcascade.datasets.classes import check_given_names
from mmcascade.engine.configs.classes import class_count
from mmcascade.engine.configs.datasets import pipeline_owners
from mmcascade.models.cascades import cascade_of


class CascadeInferencer(ImageClassificationInferencer):
    """Runs a cascade on image files or arrays.

    Args:
        model: a cascade's config (path or object), or a cascade built with mmpretrain's ``get_model``.
        pretrained: a bundle made by tools/bundle_checkpoint.py; None where the members load their own weights.
        device: where to run; by default a GPU if there is one.
        classes: class names; by default those of the members' checkpoints.

    Example:
        >>> inferencer = CascadeInferencer('my_cascade.py')  # doctest: +SKIP
        >>> inferencer('cat.jpg')[0]  # doctest: +SKIP
        {'pred_label': 281, 'pred_class': 'tabby', 'confidence': 0.83, 'exit_stage': 0, 'macs': 384879248.0, ...}
    """

    classes: Sequence[str] | None  # of the base class

    def __init__(
        self,
        model: str | PathLike | Config | BaseModel,
        pretrained: str | None = None,
        device: str | torch.device | None = None,
        classes: Any = None,
        **kwargs: Any,
    ) -> None:
        if device is None:
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        super().__init__(model, pretrained=pretrained or False, device=device, classes=classes, **kwargs)
        if cascade_of(self.model) is None:
            raise TypeError(
                f'CascadeInferencer runs cascades, got a {type(self.model).__name__}; use '
                "mmpretrain's ImageClassificationInferencer for a single classifier"
            )
        if self.classes is None:
            self.classes = self.model.classes
        else:
            check_given_names(self.classes, self.model.classes, class_count(self.model))

    def _init_pipeline(self, cfg: Config) -> Callable:
        # mmpretrain looks for the pipeline in the outermost data set, which may be a wrapper.
        dataset = cfg.test_dataloader.dataset
        dataset = pipeline_owners(dataset)[0]
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
            return super()._init_pipeline(Config(dict(test_dataloader=dict(dataset=dataset))))

    def postprocess(
        self, preds: list[DataSample], visualization: list[np.ndarray], return_datasamples: bool = False
    ) -> list:
        """What mmpretrain says of each image, and what was decided.

        The keys are ``confidence`` (float, higher = more certain), ``accepted`` (bool, or None without an accept
        threshold), ``exit_stage`` (int, from 0) and ``macs`` (multiply-adds).
        """
        results = super().postprocess(preds, visualization, return_datasamples)
        if return_datasamples:
            return results
        return [
            dict(
                result,
                confidence=sample.confidence,
                accepted=sample.get('accepted'),
                exit_stage=sample.exit_stage,
                macs=sample.macs,
            )
            for result, sample in zip(results, preds, strict=True)
        ]
