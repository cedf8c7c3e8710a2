# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images in, label maps and the cells' decisions out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmcascade._system.extras import needed_by
from mmcascade.apis.inferencers.images import ImageLike, as_bgr, name_of
from mmcascade.apis.inferencers.shared import innermost_dataset, loader, put_picture
from mmcascade.engine.console.configs import read_config
from mmcascade.engine.hooks.cell_visualization_hook import CellVisualizationHook
from mmcascade.engine.predict.deciders.loading import after_loading
from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.models.cells.cell_records import cells_as_json

with needed_by('mmcascade.apis'):
    import mmcv
    from mmengine.config import Config
    from mmengine.dataset import Compose, pseudo_collate
    from mmengine.registry import DefaultScope
    from mmseg.apis import init_model
    from mmseg.registry import TRANSFORMS
    from mmseg.structures import SegDataSample

_MAX_UINT8 = 256


class CascadeSegInferencer:
    """Runs a cascade of segmentors on images of all kinds.

    Calling it, see :meth:`__call__`, gives a dict per image that can be dumped as JSON: ``size`` (height, width),
    ``classes`` (share of the image that each predicted class has), ``macs`` (multiply-adds), ``mean_exit_stage``,
    ``reached`` (share of the image that ran each stage), ``confidence`` of the image (None where it has none),
    ``accepted`` (None without an accept threshold), ``nonfinite_cells``, ``cells`` (per cell ``bbox`` x1, y1, x2, y2,
    the ends excluded, ``confidence``, None where nothing counts or is finite, ``exit_stage`` and ``macs``, and
    ``accepted`` where cells have a threshold), and ``label_map``, the path of the written map.

    Args:
        model: a cascade's config (path or object), or a cascade that was built in Python.
        pretrained: a bundle made by tools/bundle_checkpoint.py; None where the members load their own weights.
        device: where to run; by default a GPU if there is one.
        pipeline: transforms from a loaded image on, for a cascade that was built in Python; by default those of the
            config's test data set.

    Raises:
        TypeError: if the model is no cascade of segmentors, or something handed in is no image.
        ValueError: if an image cannot be read, or a pipeline is missing.

    Example:
        >>> import json, torch
        >>> from mmengine.registry import MODELS
        >>> from mmcascade import CascadeSegInferencer, CascadeSegmentor
        >>> norm = dict(type='BN')
        >>> small, large = (dict(model=MODELS.build(dict(
        ...     _scope_='mmseg', type='EncoderDecoder', data_preprocessor=dict(type='SegDataPreProcessor'),
        ...     backbone=dict(
        ...         type='ResNet', depth=18, base_channels=channels, num_stages=2, strides=(1, 2), dilations=(1, 1),
        ...         out_indices=(0, 1), norm_cfg=norm),
        ...     decode_head=dict(
        ...         type='FCNHead', in_channels=2 * channels, in_index=1, channels=4, num_convs=1, num_classes=3,
        ...         norm_cfg=norm)))) for channels in (2, 4))
        >>> cascade = CascadeSegmentor(
        ...     members=dict(small=small, large=large), stages=[dict(member='small'), dict(member='large')],
        ...     grid=dict(cell=32), policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[1.0]))
        >>> inferencer = CascadeSegInferencer(cascade, device='cpu', pipeline=[dict(type='PackSegInputs')])
        >>> (found,) = inferencer(torch.rand(3, 64, 96))
        >>> found['size'], len(found['cells']), found['mean_exit_stage'], round(sum(found['classes'].values()), 6)
        ([64, 96], 6, 1.0, 1.0)
        >>> json.loads(json.dumps(found)) == found
        True
    """

    def __init__(
        self,
        model: str | PathLike | Config | CascadeSegmentor,
        pretrained: str | None = None,
        device: str | torch.device | None = None,
        pipeline: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        if not isinstance(model, torch.nn.Module):
            cfg = model if isinstance(model, Config) else read_config(str(model))
            with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmseg')):
                model = init_model(cfg, pretrained, device)
            pipeline = innermost_dataset(cfg).pipeline if pipeline is None else pipeline
        if not isinstance(model, CascadeSegmentor):
            raise TypeError(
                f'CascadeSegInferencer runs cascades of segmentors, got a {type(model).__name__}; use '
                "CascadeInferencer for classifiers, and mmseg's MMSegInferencer for a single segmentor"
            )
        if pipeline is None:
            raise ValueError(
                "a cascade that was built in Python needs pipeline=[...], such as [dict(type='PackSegInputs')]"
            )
        self.model = model.to(device).eval()
        with DefaultScope.overwrite_default_scope('mmseg'):
            steps = [TRANSFORMS.build(step) for step in after_loading(pipeline)]
        self.pipeline = Compose([loader(pipeline), _with_fields, *steps])
        meta = getattr(model, 'dataset_meta', None) or {}
        self.classes = model.classes or meta.get('classes')
        self.palette = model.palette or meta.get('palette')

    def __call__(
        self,
        inputs: ImageLike | Sequence[ImageLike],
        batch_size: int = 1,
        out_dir: str | PathLike | None = None,
        show_dir: str | PathLike | None = None,
        return_datasamples: bool = False,
    ) -> list[dict[str, Any]] | list[SegDataSample]:
        """Decide on images.

        Args:
            inputs: one image or a list of them, each as :func:`~mmcascade.apis.inferencers.images.as_bgr` takes it, or
                a folder.
            batch_size: images at a time; larger than 1 for images of one size.
            out_dir: folder for the label maps: PNG files with the class of each pixel, 16 bits beyond 256 classes.
            show_dir: folder for pictures of each prediction and its cells.
            return_datasamples: give the data samples, with the maps as tensors, in place of the dicts.
        """
        if batch_size < 1:
            raise ValueError(f'batch_size is a number of images >= 1, got {batch_size!r}')
        images = _listed(inputs)
        samples: list[SegDataSample] = []
        results: list[dict[str, Any]] = []
        for start in range(0, len(images), batch_size):
            chunk = images[start : start + batch_size]
            with torch.no_grad():
                found = self.model.test_step(pseudo_collate([self.pipeline(image) for image in chunk]))
            for number, (image, sample) in enumerate(zip(chunk, found, strict=True), start):
                if show_dir is not None:
                    put_picture(self._picture(image, sample), image, number, show_dir)
                if return_datasamples:
                    samples.append(sample)
                else:
                    results.append(self._result(sample, _written(sample, image, number, out_dir)))
        return samples if return_datasamples else results

    def _picture(self, image: ImageLike, sample: SegDataSample) -> np.ndarray:
        shown = sample.clone()
        shown.set_field(name_of(image), 'img_path', field_type='metainfo')  # as it was handed in, not as members saw it
        return CellVisualizationHook().picture(as_bgr(image), shown, dict(classes=self.classes, palette=self.palette))

    def _result(self, sample: SegDataSample, label_map: str | None) -> dict[str, Any]:
        labels = sample.pred_sem_seg.data[0]
        count = torch.bincount(labels.flatten().cpu()).tolist()
        return dict(
            size=list(labels.shape),
            classes={self._name(k): number / labels.numel() for k, number in enumerate(count) if number},
            macs=sample.macs,
            mean_exit_stage=sample.mean_exit_stage,
            reached=sample.reached,
            confidence=sample.confidence if math.isfinite(sample.confidence) else None,
            accepted=sample.get('accepted'),
            nonfinite_cells=sample.nonfinite_cells,
            cells=cells_as_json(sample),
            label_map=label_map,
        )

    def _name(self, label: int) -> str:
        return self.classes[label] if self.classes else str(label)


def _with_fields(results: dict[str, Any]) -> dict[str, Any]:
    """What annotations would bring."""
    return results | dict(seg_fields=[], reduce_zero_label=False)


def _listed(inputs: ImageLike | Sequence[ImageLike]) -> list[ImageLike]:
    if isinstance(inputs, str | PathLike) and Path(inputs).is_dir():
        return [str(path) for path in sorted(Path(inputs).iterdir()) if path.is_file()]
    return list(inputs) if isinstance(inputs, list | tuple) else [inputs]  # type: ignore[list-item]


def _written(sample: SegDataSample, image: ImageLike, number: int, folder: str | PathLike | None) -> str | None:
    if folder is None:
        return None
    labels = sample.pred_sem_seg.data[0].cpu().numpy()
    path = Path(folder) / f'{number:06d}_{name_of(image)}'.rstrip('_')
    kind = np.uint8 if labels.max(initial=0) < _MAX_UINT8 else np.uint16
    mmcv.imwrite(labels.astype(kind), f'{path}.png')
    return f'{path}.png'
