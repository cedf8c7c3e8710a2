# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The classes of a cascade against those of the data set that it meets."""

from __future__ import annotations

from typing import Any

from mmcascade.datasets.classes import check_classes
from mmcascade.models.cascades import cascade_of
from mmcascade.models.members.members import num_classes

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
    check_classes(dataset, cascade.classes, class_count(cascade), where)
    setattr(dataset, _CHECKED, cascade)  # the loop, a hook and the tool each ask; labels are read once


def class_count(model: Any) -> int | None:
    """How many classes the members of a cascade tell apart, or None if none of them says so."""
    counts = [num_classes(member) for member in model.members.values()]
    return next((count for count in counts if count), None)
