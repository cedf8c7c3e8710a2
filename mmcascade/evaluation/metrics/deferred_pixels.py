# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The metric of what a segmentation cascade hands on, class by class."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
import torch
from mmengine.logging import print_log
from numpy.typing import NDArray
from torch import Tensor

from mmcascade._system.tables import Column, Table
from mmcascade.evaluation.curves.iou import class_iou
from mmcascade.evaluation.metrics.samples.pixel_maps import annotation, pixel_map
from mmcascade.evaluation.metrics.samples.sample_fields import required_field
from mmcascade.evaluation.metrics.samples.sample_metric import Collecting, SampleMetric
from mmcascade.registry import METRICS

ALL = 'all'
#: See :func:`class_areas`; () without annotation.
_Areas = NDArray[np.int32] | tuple[()]
_FIX = 'DeferredPixels reads what a segmentation cascade writes, so test one or leave the metric out'


def class_areas(
    truth: Tensor, prediction: Tensor, deferred: Tensor, num_classes: int, ignore_index: int = 255
) -> NDArray[np.int32]:
    """Pixels per class, of an image: ``(4, num_classes)``.

    The rows are the pixels where prediction and annotation agree, the predicted, the annotated, and the annotated and
    deferred ones. Pixels annotated as ``ignore_index`` are in none; labels beyond the classes count for no class.

    Args:
        truth: annotated labels, ``(H, W)``.
        prediction: predicted labels, ``(H, W)``.
        deferred: bool ``(H, W)``, pixels that went on to another stage.
        num_classes: number of classes.
        ignore_index: label of the pixels that do not count.
    """
    c = num_classes
    # One count of all pixels tells everything: labels beyond the classes are class c, ignored pixels c + 1.
    label, guess = (torch.where((labels < 0) | (labels >= c), c, labels.long()) for labels in (truth, prediction))
    label[truth == ignore_index] = c + 1
    cases = (2 * label + deferred) * (c + 1) + guess
    counts = torch.bincount(cases.flatten(), minlength=2 * (c + 2) * (c + 1)).view(c + 2, 2, c + 1)
    table = counts[: c + 1].sum(1)
    areas = table[:c, :c].diagonal(), table[:, :c].sum(0), table[:c].sum(1), counts[:c, 1].sum(1)
    return torch.stack(areas).int().numpy()


def deferred_area(bboxes: Tensor, exit_stages: Tensor, shape: torch.Size) -> Tensor:
    """Bool ``(H, W)``: the pixels of the cells that left after stage 1 or later.

    Args:
        bboxes: ``(N, 4)`` x1, y1, x2, y2 of the cells, the ends excluded.
        exit_stages: ``(N)`` last stage of each cell.
        shape: height and width of the image.
    """
    area = torch.zeros(shape, dtype=torch.bool)
    for x1, y1, x2, y2 in bboxes[exit_stages > 0].tolist():
        area[y1:y2, x1:x2] = True
    return area


def class_keys(classes: Sequence[str]) -> list[str]:
    """The classes as they stand in the keys of results: a slash, which divides keys, becomes an underscore.

    Names that come twice, and one that reads like the key of all classes together, get their number appended.

    Example:
        >>> class_keys(['traffic light', 'door', 'all', 'door', 'sink/tub'])
        ['traffic light', 'door (1)', 'all (2)', 'door (3)', 'sink_tub']
    """
    names = [name.replace('/', '_') for name in classes]
    times = Counter([*names, ALL])
    return [name if times[name] == 1 else f'{name} ({i})' for i, name in enumerate(names)]


@METRICS.register_module()
class DeferredPixels(SampleMetric[_Areas]):
    """Which classes a segmentation cascade hands on: percent of their annotated pixels that lie in deferred cells.

    A cell is deferred if a later stage than the first ran on it. Printed keys:

    - ``deferred/<class>``: of the pixels annotated as that class; NaN if there are none.
    - ``deferred/all``: of all annotated pixels.

    The log gets a table of these shares beside the IoU of each class, the same number as MMSegmentation's
    ``IoUMetric`` prints. Images without annotation count for nothing; without a single labelled pixel every key is NaN
    and a warning says so. Class names come from the data set; see :func:`class_keys` for their form in keys.

    Args:
        ignore_index: Label of the pixels that do not count.
        **collecting: ``prefix`` replaces ``deferred`` in the keys; ``collect_device`` and ``collect_dir`` are those of
            mmengine's ``BaseMetric``.
    """

    default_prefix = 'deferred'

    def __init__(
        self,
        ignore_index: int = 255,
        **collecting: Unpack[Collecting],
    ) -> None:
        super().__init__(**collecting)
        self.ignore_index = ignore_index

    @property
    def classes(self) -> Sequence[str]:
        """Class names of the data set.

        Raises:
            ValueError: if the data set has none.
        """
        classes = (self.dataset_meta or {}).get('classes')
        if not classes:
            raise ValueError(
                'DeferredPixels needs the names of the classes; give the test data set metainfo=dict(classes=(...))'
            )
        return classes

    def summarise(self, kept: list[_Areas]) -> dict[str, float]:
        """Shares over all samples, in percent."""
        total = np.zeros((4, len(self.classes)), np.int64)
        for areas in filter(len, kept):
            total += areas
        agreed, predicted, truth, deferred = total
        if not truth.any():
            warnings.warn(
                f'DeferredPixels got no labelled pixel from {len(kept)} images, so its results are NaN; '
                'annotate the test images or leave the metric out',
                stacklevel=2,
            )
        shares = [_percent(*pair) for pair in zip(deferred, truth, strict=True)]
        ious = (100 * class_iou(agreed, predicted, truth)).tolist()
        print_log('per class, in percent:\n' + _table(self.classes, ious, shares), logger='current')
        return dict(zip(class_keys(self.classes), shares, strict=True)) | {ALL: _percent(deferred.sum(), truth.sum())}

    def keep(self, sample: Mapping[str, Any]) -> _Areas:
        """The areas per class, () of a sample without annotation."""
        prediction = pixel_map(sample, 'pred_sem_seg', _FIX)
        cells = required_field(sample, 'cells', _FIX)
        truth = annotation(sample, prediction)
        if truth is None:
            return ()
        deferred = deferred_area(torch.as_tensor(cells['bboxes']), torch.as_tensor(cells['exit_stages']), truth.shape)
        return class_areas(truth, prediction, deferred, len(self.classes), self.ignore_index)


def _percent(part: int, whole: int) -> float:
    return 100 * float(part) / float(whole) if whole else math.nan


def _table(classes: Sequence[str], ious: Sequence[float], shares: Sequence[float]) -> str:
    columns = (Column('class', left=True), *(Column(title, '.2f', missing='n/a') for title in ('IoU %', 'deferred %')))
    return Table.of(columns, list(zip(classes, ious, shares, strict=True))).as_text(120)
