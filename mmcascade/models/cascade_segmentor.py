# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade of segmentors as one MMSegmentation model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.models.cascade_model import CascadeModel
from mmcascade.models.cells.acceptance import write_acceptance
from mmcascade.models.cells.grid import Grid, checked_cell, checked_margin
from mmcascade.models.cells.pixels.pixel_results import PixelResults
from mmcascade.models.cells.tiled_image import TiledImage
from mmcascade.models.members.members import Member
from mmcascade.models.parts.cascade_parts import ConfidenceSpec, checked_accept
from mmcascade.models.parts.segmentor_parts import build_segmentor_stages, cell_confidence, segmentor_from_spec
from mmcascade.models.parts.unpacked import Unpacked
from mmcascade.models.stages.segmentor_stage import SegmentorStage
from mmcascade.registry import MODELS
from mmcascade.routing import ExitPolicy, Outcome, WindowPolicy
from mmcascade.routing.confidences.cell_confidence import CellConfidence
from mmcascade.routing.units.sources import Source
from mmcascade.routing.units.unit_batch import CELLS_PER_IMAGE


@MODELS.register_module()
class CascadeSegmentor(CascadeModel):
    """Pretrained segmentors as a cascade that decides per cell of the image (Wang et al. 2022, section 4.5).

    Stage 0 labels the whole image; the image is cut into cells; later stages run only on cells that the policy sends
    on, which are the least confident ones. Data samples come back with

    - ``pred_sem_seg``: labels ``(1, H, W)`` of the original image;
    - ``cells``: per cell ``bboxes`` (x1, y1, x2, y2, ends exclusive, in pixels of the original image), ``confidence``
      (higher = more certain; NaN where no pixel counts), ``exit_stages`` (from 0), ``macs``, and ``accepted`` with
      ``accept_cells``;
    - ``confidence`` of the image, the mean of its cells' by area, and ``accepted`` with ``accept``;
    - ``macs`` of the image, ``mean_exit_stage`` and ``reached`` (share of the image that ran each stage), both by area,
      ``nonfinite_cells`` and ``num_stages``, and ``missed``, per stage the cells for which it gave nothing finite, in
      images where there are any;
    - where asked for, ``confidence_map`` ``(1, H, W)`` and ``seg_logits``, the fused log-probabilities ``(C, H, W)``.

    Args:
        members: per name a dict with ``model`` (zoo name, ``lib::config``, config path, inline dict or a module)
            and ``checkpoint`` (path, 'zoo' or None); see :func:`~mmcascade.models.members.members.build_member`.
        stages: dicts with ``member``, and optionally ``on`` ('image' or 'cell'; stage 0 is on 'image', later ones by
            default on 'cell'), ``scale`` (default 1), ``join`` ('rectangles': a stage on cells runs on rectangles of
            neighbours where that costs less), ``fallback`` ('image': it runs on the whole image where its crops would
            cost as much), ``batch_size`` (images or cells, default: whatever arrives), ``macs``, ``temperature``,
            ``channels_last``, ``amp``; see :class:`~mmcascade.models.stages.segmentor_stage.SegmentorStage` and
            :class:`~mmcascade.models.stages.choosing_stage.ChoosingStage`.
        grid: ``cell``, side of a square or (height, width) in pixels of the original image, default 512; None = one
            cell per image. An image that is smaller has one row (or column) of cells. ``margin``, context around a
            cell's crop in the same pixels, default 0.
        confidence: of a pixel, by name, or the config of a
            :class:`~mmcascade.routing.confidences.cell_confidence.CellConfidence`, which also says how the pixels of a
            cell make one number.
        fusion: 'prob', 'logit' or 'replace'.
        policy: config or object of an exit policy with one rule per gap. Without it the model builds, but refuses
            to test.
        accept: accept an image if its confidence is at least this; None = no acceptance is reported.
        accept_cells: accept the labels of a cell if its confidence is at least this.
        calibration: path of a file made by tools/calibrate.py (or its content), in place of ``policy``, ``accept`` and
            ``accept_cells``.
        confidence_map: add the confidence of every pixel at its cell's exit.
        seg_logits: keep the fused log-probabilities, which MMSegmentation's ``SegTTAModel`` needs: 4 bytes per class
            and pixel, with 19 classes ten times the memory of the labels.
        data_preprocessor, train_cfg, test_cfg, pretrained: ignored; members have their own. MMSegmentation's functions
            pass them to every model.

    Raises:
        ValueError, TypeError: at build time, naming the value, what was expected and the fix.

    Example:
        >>> import torch
        >>> from mmseg.structures import SegDataSample
        >>> def member(channels):
        ...     norm = dict(type='BN')
        ...     return dict(
        ...         _scope_='mmseg', type='EncoderDecoder', data_preprocessor=dict(type='SegDataPreProcessor'),
        ...         backbone=dict(
        ...             type='ResNet', depth=18, base_channels=channels, num_stages=2, strides=(1, 2), dilations=(1, 1),
        ...             out_indices=(0, 1), norm_cfg=norm),
        ...         decode_head=dict(
        ...             type='FCNHead', in_channels=2 * channels, in_index=1, channels=4, num_convs=1, num_classes=3,
        ...             norm_cfg=norm))
        >>> from mmengine.registry import MODELS
        >>> small, large = (dict(model=MODELS.build(member(channels))) for channels in (2, 4))
        >>> cascade = CascadeSegmentor(
        ...     members=dict(small=small, large=large),
        ...     stages=[dict(member='small'), dict(member='large')], grid=dict(cell=32),
        ...     policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[1.0]))  # every cell goes on
        >>> image = torch.randint(256, (3, 64, 96), dtype=torch.uint8)
        >>> sample = SegDataSample(metainfo=dict(ori_shape=(64, 96), img_shape=(64, 96)))
        >>> found = cascade.test_step(dict(inputs=[image], data_samples=[sample]))[0]
        >>> found.pred_sem_seg.shape, found.cells.exit_stages.tolist()
        ((64, 96), [1, 1, 1, 1, 1, 1])
    """

    task = 'segmentation'
    unit_name = 'cell'
    stages: list[SegmentorStage]
    confidence: CellConfidence

    def __init__(
        self,
        members: Mapping[str, Any],
        stages: Sequence[Mapping[str, Any]],
        grid: Mapping[str, Any] | None = None,
        confidence: ConfidenceSpec = 'max_prob',
        fusion: str = 'prob',
        policy: Mapping[str, Any] | ExitPolicy | None = None,
        calibration: str | Path | Mapping[str, Any] | None = None,
        accept: float | None = None,
        accept_cells: float | None = None,
        confidence_map: bool = False,
        seg_logits: bool = False,
        data_preprocessor: Any = None,
        train_cfg: Any = None,
        test_cfg: Any = None,
        pretrained: Any = None,
        init_cfg: Any = None,
    ) -> None:
        del train_cfg, test_cfg, pretrained
        options = dict(cell=512, margin=0) | dict(grid or {})
        if set(options) - {'cell', 'margin'}:
            raise ValueError(f'grid is a dict with cell= and margin=, got {grid!r}')
        self.cell = checked_cell(options['cell'])
        self.margin = checked_margin(options['margin'], self.cell)
        self.keeps_logits = seg_logits
        self.maps_confidence = confidence_map
        self._unnumbered = 0
        if calibration is not None and accept_cells is not None:
            raise ValueError('a calibration gives the accept thresholds; leave accept_cells= out, or calibration=')
        self.accept_cells: float | None = None
        super().__init__(members, stages, confidence, fusion, policy, accept, calibration, data_preprocessor, init_cfg)
        if calibration is None:
            self.accept_cells = checked_accept(accept_cells, self.confidence, 'accept_cells')
        self.dataset_meta = {}

    @property
    def dataset_meta(self) -> dict[str, Any]:
        """What inferencers and visualizers call the classes, and their colours.

        What the members' checkpoints say wins: MMSegInferencer, for one, names the classes of Cityscapes when it is
        given no checkpoint of the whole cascade.
        """
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: Mapping[str, Any]) -> None:
        known = dict(classes=self.classes, palette=self.palette)
        self._dataset_meta = {**meta, **{key: value for key, value in known.items() if value is not None}}

    @property
    def out_channels(self) -> int:
        """The number of classes, by which MMSegmentation's ``SegTTAModel`` tells softmax from sigmoid."""
        return self.stages[0].network.classes

    def _use(self, calibration: Calibration) -> WindowPolicy:
        self.accept_cells = calibration.accept_cells
        return super()._use(calibration)

    def _build_member(self, name: str, spec: Any) -> Member:
        return segmentor_from_spec(name, spec)

    def _build_confidence(self, confidence: ConfidenceSpec) -> CellConfidence:
        built = cell_confidence(confidence)
        self.results = PixelResults(built if self.maps_confidence else None, self.keeps_logits)
        return built

    def _build_stages(self, stages: Sequence[Mapping[str, Any]]) -> list[SegmentorStage]:
        return build_segmentor_stages(self.members, stages, self.cell, self.margin, self.confidence)

    def forward(
        self, inputs: Tensor | Sequence[Tensor], data_samples: list[SegDataSample] | None = None, mode: str = 'tensor'
    ) -> Tensor | list[Tensor] | list[SegDataSample]:
        """Label one batch.

        Args:
            inputs: raw images ``(N, 3, H, W)``, or a list of ``(3, H, W)`` of any sizes.
            data_samples: N samples, which are written to and returned; made where there are none.
            mode: 'predict' gives data samples; 'tensor' gives labels ``(N, H, W)``, or a list of ``(H, W)`` where the
                images differ in size.
        """
        return super().forward(inputs, data_samples, mode)

    def take_apart(self, inputs: Any, samples: Sequence[SegDataSample] | None) -> Unpacked:
        """The units of a batch, without running or loading anything."""
        images = list(inputs)
        if samples is None:
            samples = [SegDataSample() for _ in images]
        tiles = [self.tile(image, sample) for image, sample in zip(images, samples, strict=True)]
        units = [self._units(tile, sample) for tile, sample in zip(tiles, samples, strict=True)]
        return Unpacked(tiles, units, samples, [len(tile) for tile in tiles])

    def views_of(self, inputs: Any) -> Sequence[Tensor | Sequence[Tensor]]:
        """The images of a batch, view by view."""
        return [list(inputs)]

    def images_in(self, sources: Sequence[Source]) -> int:
        """How many images the sources hold."""
        return len(sources)

    def tile(self, image: Tensor, sample: SegDataSample) -> TiledImage:
        """A raw image ``(3, H, W)`` and its grid, which lies on the original image.

        Raises:
            ValueError: if the original image has too many cells, or was mirrored diagonally.
        """
        if 'ori_shape' not in sample.metainfo:
            sample.set_metainfo(dict(ori_shape=tuple(image.shape[-2:])))
        flip = sample.metainfo.get('flip_direction') if sample.metainfo.get('flip') else None
        if flip not in (None, 'horizontal', 'vertical'):
            raise ValueError(
                f'an image was mirrored {flip!r}; the cells of a cascade can be found again after '
                "'horizontal' and 'vertical' only"
            )
        return TiledImage(image, self._grid(sample), flip)

    def write_results(self, outcome: Outcome, data_samples: Sequence[SegDataSample]) -> None:
        """Paste finished cells into their images; the cells stand in the order of the samples."""
        outcome = outcome.cpu()
        stop = 0
        for sample in data_samples:
            grid = self._grid(sample)
            start, stop = stop, stop + len(grid)
            self._write(outcome.part(start, stop), grid, sample)

    def _write(self, outcome: Outcome, grid: Grid, sample: SegDataSample) -> None:
        cells = np.arange(len(grid))

        def image(name: str, dtype: torch.dtype) -> PixelData:
            frames = outcome.stacked(name)
            canvas = torch.empty(*frames.shape[1:-2], *grid.image, dtype=dtype)
            grid.paste(canvas, frames, cells)
            return PixelData(data=canvas if canvas.dim() == 3 else canvas[None])

        sample.set_data(dict(pred_sem_seg=image('labels', torch.int64)))
        for name in set(outcome.results) - {'labels'}:
            sample.set_data({name: image(name, torch.float32)})
        areas, whole = grid.areas, grid.areas.sum()
        boxes = [grid.box(index) for index in range(len(grid))]
        sample.set_data(
            dict(
                cells=InstanceData(
                    bboxes=torch.tensor([[box.left, box.top, box.right, box.bottom] for box in boxes]),
                    confidence=outcome.confidence.float().clone(),
                    exit_stages=torch.from_numpy(outcome.exit_stage.copy()),
                    macs=torch.from_numpy(outcome.macs.copy()),
                )
            )
        )
        write_acceptance(sample, areas, self.accept, self.accept_cells)
        sample.set_field(float(outcome.macs.sum()), 'macs')
        sample.set_field(float((outcome.exit_stage * areas).sum() / whole), 'mean_exit_stage')
        sample.set_field(
            [float(areas[outcome.exit_stage >= k].sum() / whole) for k in range(len(self.stages))], 'reached'
        )
        sample.set_field(int((outcome.finite_stages == 0).sum()), 'nonfinite_cells')
        missed = [int(outcome.missed(k).sum()) for k in range(len(self.stages))]
        if any(missed):
            sample.set_field(missed, 'missed')
        sample.set_field(len(self.stages), 'num_stages', field_type='metainfo')

    def _grid(self, sample: SegDataSample) -> Grid:
        height, width = sample.metainfo['ori_shape'][:2]
        return Grid((int(height), int(width)), self.cell)

    def _units(self, tile: TiledImage, sample: SegDataSample) -> np.ndarray:
        index = sample.get('sample_idx')
        if index is None:
            if self.router is not None and self.router.policy.needs_unit:
                raise ValueError(
                    f"{self.router.policy!r} decides by each image's index in the data set, but the data samples have "
                    "no 'sample_idx'; keep it in the meta_keys of PackSegInputs"
                )
            self._unnumbered -= 1  # a budget per image must tell images of several batches apart
            index = self._unnumbered
        return int(index) * CELLS_PER_IMAGE + np.arange(len(tile))

    def _as_tensors(self, outcome: Outcome | None, samples: Sequence[SegDataSample]) -> Tensor | list[Tensor]:
        if outcome is None:
            return torch.zeros(0, 0, 0, dtype=torch.int64)
        self.write_results(outcome, samples)
        labels = [sample.pred_sem_seg.data[0] for sample in samples]
        return torch.stack(labels) if len({x.shape for x in labels}) == 1 else labels

    def _grid_name(self) -> str:
        return 'whole images' if self.cell is None else f'cells of {self.cell[0]} x {self.cell[1]}'
