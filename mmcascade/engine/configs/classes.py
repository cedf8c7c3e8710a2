# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The classes of a cascade against those of the data set that it meets."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.replay.quality import class_number
from mmcascade.datasets.inner import in_distribution
from mmcascade.models.cascades import cascade_of
from mmcascade.models.parts.class_names import check_names, label_error, names_in

_CHECKED = '_checked_by_mmcascade'


def check_dataset(model: Any, dataset: Any, where: str) -> None:
    """Refuse a data set whose labels are not the classes of a cascade; any other model is left alone.

    Args:
        model: built.
        dataset: built.
        where: the config's key of the data set, for messages.

    Raises:
        ClassesError: saying what to put right.
    """
    cascade = cascade_of(model)
    if cascade is None or vars(dataset).get(_CHECKED) is cascade:
        return
    check_classes(dataset, cascade.classes, cascade.num_classes, where)
    cascade.tested.settle(getattr(dataset, 'metainfo', None))
    setattr(dataset, _CHECKED, cascade)  # the loop, a hook and the tool each ask; labels are read once


def check_class_target(cfg: Config, target: Target) -> None:
    """Refuse a target for a class that the calibration split does not know, before any member runs."""
    if target.class_name is None or cfg.get('val_dataloader') is None:
        return
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    names = names_in(getattr(DATASETS.build(copy.deepcopy(cfg.val_dataloader.dataset)), 'metainfo', None))
    if names:
        class_number(target.class_name, names)


def check_classes(
    dataset: Any, names: Sequence[str] | None, number: int | None, where: str = 'test_dataloader.dataset'
) -> None:
    """Refuse a data set whose labels are not the members' classes.

    They are compared by name where both know names, and by number otherwise; and no label may lie outside of the
    members' heads. Data sets that are marked as out of distribution have classes of their own, and are left out.

    Args:
        dataset: built; wrappers and joined data sets are looked into.
        names: the members' classes in order, if they know them.
        number: how many classes the members tell apart, if that is known.
        where: the config's key of the data set, for messages.

    Raises:
        ClassesError: naming both sides and what to put right.
    """
    number = len(names) if names else number
    for part in in_distribution(dataset):
        check_names(names_in(getattr(part, 'metainfo', None)), names, number, where)
        if number is not None:
            _check_labels(part, number, names, where)


def _check_labels(part: Any, number: int, names: Sequence[str] | None, where: str) -> None:
    if not callable(getattr(part, 'get_data_info', None)):
        return
    for index in range(len(part)):
        info = part.get_data_info(index)
        label = info.get('gt_label')
        if label is None or not _is_whole(label):
            return  # several labels an image, or none: nothing that a head numbers
        if not 0 <= int(label) < number:
            image = f'{info.get("img_path", f"image {index}")} of {where}'
            raise label_error(image, int(label), names, number)


def _is_whole(label: Any) -> bool:
    if isinstance(label, bool):
        return False
    try:
        return int(label) == label
    except (TypeError, ValueError):
        return False
