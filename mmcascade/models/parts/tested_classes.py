# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The classes of the data set that a plain loop of MMEngine tests, against those of the cascade that it calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mmengine.visualization import Visualizer

from mmcascade.models.parts.class_names import check_names, label_error, names_in

_WHERE = 'the data set under test'


class TestedClasses:
    """Looks at what a loop tells of its data set. Our tools and loops look at the data set itself, and before.

    A loop hands the meta information of its data set to the visualizer, the one place where a model that is called
    with batches can find it. What was there when the cascade was built belongs to another run.

    Args:
        names: the cascade's classes in order, if its members know them.
        number: how many classes it tells apart, if that is known.
    """

    __test__ = False  # nothing of pytest's

    def __init__(self, names: Sequence[str] | None, number: int | None) -> None:
        self._names = names
        self._number = len(names) if names else number
        self._seen = _announced()
        self._settled: list[list[str] | None] = []

    def settle(self, meta: Any) -> None:
        """Take note that a data set with this meta information was looked at itself, part by part."""
        self._settled.append(names_in(meta))

    def check(self, samples: Iterable[Any]) -> None:
        """Refuse a batch whose labels do not mean the members' classes.

        Args:
            samples: data samples before they are routed. Those without a label, or out of distribution, are left out.

        Raises:
            ClassesError: naming both sides and what to put right.
        """
        labelled = [sample for sample in samples if 'gt_label' in sample and not sample.get('ood', False)]
        if labelled and self._number is not None:
            for sample in labelled:
                _check_label(sample, self._names, self._number)
        meta = _announced()
        if meta is not self._seen and (labelled or any('gt_sem_seg' in sample for sample in samples)):
            self._seen = meta
            if (names := names_in(meta)) not in self._settled:
                check_names(names, self._names, self._number, _WHERE)


def _check_label(sample: Any, names: Sequence[str] | None, number: int) -> None:
    label = sample.gt_label
    if label.numel() == 1 and not 0 <= (found := int(label)) < number:
        raise label_error(str(sample.get('img_path', 'an image')), found, names, number)


def _announced() -> Any:
    # Where there is none yet, get_current_instance raises without giving back a lock of all of MMEngine: every other
    # thread that asks for an instance would wait for ever.
    if not Visualizer._instance_dict:
        return None
    return getattr(Visualizer.get_current_instance(), 'dataset_meta', None)
