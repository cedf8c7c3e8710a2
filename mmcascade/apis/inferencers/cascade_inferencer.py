# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images in, decisions out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch

from mmcascade._system.extras import needed_by
from mmcascade.apis.inferencers.images import ImageLike, as_bgr, name_of
from mmcascade.apis.inferencers.shared import finite_or_none, innermost_dataset, loader, put_picture
from mmcascade.engine.hooks.cascade_visualization_hook import describe, draw_prediction
from mmcascade.engine.predict.deciders.loading import refuse_clips
from mmcascade.models.cascades import cascade_of
from mmcascade.models.parts.class_names import check_given_names

with needed_by('mmcascade.apis'):
    import mmcv
    from mmengine.config import Config
    from mmengine.dataset import Compose, default_collate
    from mmengine.model import BaseModel
    from mmengine.registry import DefaultScope
    from mmpretrain.apis import ImageClassificationInferencer
    from mmpretrain.structures import DataSample


class CascadeInferencer(ImageClassificationInferencer):
    """Runs a cascade of classifiers on images of all kinds.

    ``inferencer(images, batch_size=1, show_dir=None, return_datasamples=False)`` takes one image or a list of them,
    each as :func:`~mmcascade.apis.inferencers.images.as_bgr` does, or a folder. Per image it gives a dict for JSON:

    - ``pred_label`` (int), ``pred_class`` (its name, where names are known), ``pred_score`` (float, of that class) and
      ``pred_scores`` (list of floats, of all classes), of the fused distribution;
    - ``confidence`` (float, higher = more certain; None where no stage gave finite output), ``accepted`` (bool, or None
      without an accept threshold), ``exit_stage`` (int, from 0) and ``macs`` (multiply-adds).

    ``show_dir`` gets a picture of each decision. mmpretrain's results are the same, but for the last four.

    Args:
        model: a cascade's config (path or object), or a cascade.
        pretrained: a bundle made by tools/bundle_checkpoint.py; None where the members load their own weights.
        device: where to run; by default a GPU if there is one.
        classes: class names; by default those of the members' checkpoints.
        pipeline: transforms from a loaded image on, for a cascade that was built in Python; by default those of the
            config's test data set.

    Raises:
        TypeError: if the model is no cascade, or something handed in is no image.
        ValueError: if an image cannot be read.

    Example:
        >>> import json, torch
        >>> from mmcascade import CascadeInferencer, WindowCascadeClassifier
        >>> from mmengine.registry import MODELS
        >>> small, large = (MODELS.build(dict(
        ...     _scope_='mmpretrain', type='ImageClassifier', neck=dict(type='GlobalAveragePooling'),
        ...     backbone=dict(type='ResNet', depth=18, base_channels=channels),
        ...     head=dict(type='LinearClsHead', num_classes=2, in_channels=8 * channels))) for channels in (2, 4))
        >>> cascade = WindowCascadeClassifier(
        ...     members=dict(small=dict(model=small, classes=('cat', 'dog')), large=dict(model=large)),
        ...     stages=[dict(member='small', macs=96), dict(member='large', macs=500)],
        ...     policy=dict(type='mmcascade.WindowPolicy', windows=[None]))  # the first member decides
        >>> pipeline = [dict(type='Resize', scale=32), dict(type='PackInputs')]
        >>> inferencer = CascadeInferencer(cascade, device='cpu', pipeline=pipeline)
        >>> (found,) = inferencer(torch.rand(3, 32, 32))
        >>> found['pred_class'] in ('cat', 'dog'), found['exit_stage'], found['macs'], found['accepted']
        (True, 0, 96.0, None)
        >>> json.loads(json.dumps(found)) == found
        True
    """

    classes: Sequence[str] | None  # of the base class
    visualize_kwargs = {'show', 'show_dir', 'wait_time'}

    def __init__(
        self,
        model: str | PathLike | Config | BaseModel,
        pretrained: str | None = None,
        device: str | torch.device | None = None,
        classes: Any = None,
        pipeline: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        if device is None:
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        if pipeline is not None and isinstance(model, BaseModel):
            model._config = Config(dict(test_dataloader=dict(dataset=dict(pipeline=[dict(step) for step in pipeline]))))
        super().__init__(model, pretrained=pretrained or False, device=device, classes=classes, **kwargs)
        if cascade_of(self.model) is None:
            raise TypeError(
                f'CascadeInferencer runs cascades, got a {type(self.model).__name__}; use '
                "mmpretrain's ImageClassificationInferencer for a single classifier"
            )
        if self.classes is None:
            self.classes = self.model.classes
        else:
            check_given_names(self.classes, self.model.classes, self.model.num_classes)

    def _init_pipeline(self, cfg: Config) -> Callable:
        # mmpretrain looks for the pipeline in the outermost data set, which may be a wrapper.
        dataset = innermost_dataset(cfg)
        refuse_clips(dataset['pipeline'], 'this config')
        self._loaded = loader(dataset['pipeline'])
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
            return super()._init_pipeline(Config(dict(test_dataloader=dict(dataset=dataset))))

    def __call__(
        self,
        inputs: ImageLike | Sequence[ImageLike],
        return_datasamples: bool = False,
        batch_size: int = 1,
        **options: Any,
    ) -> list:
        """Decide on images.

        Args:
            inputs: one image or a list of them, or a folder.
            return_datasamples: give the data samples in place of dicts.
            batch_size: images at a time.
            options: ``show_dir``, ``show`` and ``wait_time`` of :meth:`visualize`.
        """
        _, _, drawing, _ = self._dispatch_kwargs(**options)
        images = self._inputs_to_list(str(inputs) if isinstance(inputs, PathLike) else inputs)
        samples = [sample for batch in self.preprocess(images, batch_size) for sample in self.forward(batch)]
        return self.postprocess(samples, self.visualize(images, samples, **drawing), return_datasamples)

    def preprocess(self, inputs: Sequence[ImageLike], batch_size: int = 1) -> Iterator[Any]:
        """Batches for ``test_step``, made as they are asked for."""
        pipeline = Compose([self._loaded, self.pipeline])
        yield from map(default_collate, self._get_chunk_data(map(pipeline, inputs), batch_size))

    def visualize(
        self,
        ori_inputs: Sequence[ImageLike],
        preds: Sequence[DataSample],
        show: bool = False,
        show_dir: str | PathLike | None = None,
        wait_time: float = 0,
    ) -> list[np.ndarray] | None:
        """Pictures of the decisions, BGR uint8 ``(H, W, 3)``, where they are asked for.

        Args:
            ori_inputs: the images.
            preds: what the cascade decided.
            show: open a window for each.
            show_dir: folder for PNG files, numbered in the order of the images.
            wait_time: seconds a window stays; 0 = until a key is pressed.
        """
        if not show and show_dir is None:
            return None
        pictures = []
        for number, (image, sample) in enumerate(zip(ori_inputs, preds, strict=True)):
            picture = draw_prediction(as_bgr(image), describe(sample, self.classes))
            put_picture(picture, image, number, show_dir)
            if show:
                mmcv.imshow(picture, name_of(image), int(1000 * wait_time))
            pictures.append(picture)
        return pictures

    def postprocess(
        self, preds: list[DataSample], visualization: list[np.ndarray] | None, return_datasamples: bool = False
    ) -> list:
        """Per image a dict that can be dumped as JSON, see the class; or the data samples."""
        results = super().postprocess(preds, visualization, return_datasamples)
        if return_datasamples:
            return results
        return [
            dict(
                result,
                pred_scores=result['pred_scores'].tolist(),
                confidence=finite_or_none(sample.confidence),
                accepted=sample.get('accepted'),
                exit_stage=sample.exit_stage,
                macs=sample.macs,
            )
            for result, sample in zip(results, preds, strict=True)
        ]
