# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Samples of several data sets in one test loop: which belong where, and what each metric reads of them."""

from __future__ import annotations

import hashlib
import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmcascade.evaluation.curves.inputs import as_scores
from mmcascade.evaluation.metrics.samples.sample_fields import require_number, required_field

ID = 'id'
ALL = 'all'


def dataset_name(sample: Mapping[str, Any]) -> str:
    """The data set of a sample: its field ``dataset``, else 'ood' or 'id' by its field ``ood``."""
    return sys.intern(str(sample.get('dataset') or ('ood' if sample.get('ood', False) else ID)))


def judged_confidence(sample: Mapping[str, Any]) -> float | None:
    """The score that is judged: ``confidence``, or of a plain classifier the largest entry of ``pred_score``.

    Returns:
        None where a plain classifier gave NaN; a cascade says -inf itself.

    Raises:
        ValueError: if there is neither.
    """
    if 'confidence' in sample:
        return require_number(sample, 'confidence', 'a confidence is one score per image')
    scores = required_field(sample, 'pred_score', 'the metric reads confidence or pred_score')
    score = float(scores.max())
    return None if math.isnan(score) else score


def ranked_confidence(judged: Sequence[float | None]) -> tuple[NDArray[np.float64], int]:
    """The scores, -inf where there is none so that it ranks last as in a cascade, and how many these are.

    Warns of them in the same words from every metric, which Python shows once.
    """
    missing = sum(score is None for score in judged)
    if missing:
        warnings.warn(
            f'{missing} of {len(judged)} samples have the score NaN: they rank last and are never accepted; check the '
            "model's weights and its precision",
            stacklevel=1,
        )
    return np.array([-math.inf if score is None else score for score in judged], dtype=np.float64), missing


def check_marked(sample: Mapping[str, Any]) -> None:
    """Raise ValueError if a sample has a negative label, as unlabelled images have, but no mark as OOD."""
    if sample.get('ood', False) or sample.get('gt_label') is None:
        return
    labels = torch.as_tensor(sample['gt_label'])
    if labels.numel() == 1 and labels.item() >= 0:  # nearly all samples
        return
    negative = labels[labels < 0]
    if len(negative):
        raise ValueError(
            f'{sample.get("img_path", "a data sample")} has the label {negative[0]:g} but is not marked '
            "as OOD; put dict(type='mmcascade.MarkOOD', name=...) before "
            "PackInputs(algorithm_keys=('ood', 'dataset')), which keeps the mark, or label the image"
        )


def image_key(sample: Mapping[str, Any]) -> int:
    """A number for the image's path, the same in every process; 0 if it has no path."""
    path = sample.get('img_path')
    if not path:
        return 0
    return int.from_bytes(hashlib.blake2b(str(path).encode(), digest_size=7).digest(), 'big')


@dataclass(frozen=True)
class SampleSets:
    """The in-distribution (ID) samples of a test loop and one or more out-of-distribution (OOD) sets.

    Attributes:
        confidence: float64 ``(N)``, higher = more certain.
        ood: bool ``(N)``.
        dataset: ``(N)`` names.
        image: int64 ``(N)``, see :func:`image_key`.
        missing: how many samples of a plain classifier have the score NaN.
    """

    confidence: NDArray[np.float64]
    ood: NDArray[np.bool_]
    dataset: NDArray[np.str_]
    image: NDArray[np.int64]
    missing: int = 0

    @classmethod
    def of(
        cls,
        confidence: Sequence[float | None],
        ood: Sequence[bool],
        dataset: Sequence[str],
        image: Sequence[int],
        metric: str,
    ) -> SampleSets:
        """Check that there is something to tell apart.

        Raises:
            ValueError: if there is no ID or no OOD sample, naming the sets that did come, or a score is NaN.
        """
        ranked, missing = ranked_confidence(confidence)
        sets = cls(
            as_scores(ranked) if len(ranked) else ranked,
            np.asarray(ood, dtype=bool),
            np.asarray(dataset),
            np.asarray(image, dtype=np.int64),
            missing,
        )
        counts = (
            ', '.join(f'{np.count_nonzero(sets.dataset == name)} of {str(name)!r}' for name in np.unique(sets.dataset))
            or 'none at all'
        )
        if sets.ood.all():
            raise ValueError(
                f'{metric} got no in-distribution sample ({counts}); put the in-distribution data set '
                "into the ConcatDataset of test_dataloader, without 'mmcascade.MarkOOD' in its pipeline"
            )
        if not sets.ood.any():
            raise ValueError(
                f"{metric} got no OOD sample ({counts}); put dict(type='mmcascade.MarkOOD', name=...) "
                "before PackInputs(algorithm_keys=('ood', 'dataset')) in each OOD pipeline"
            )
        reserved = sorted({ID, ALL} & set(sets.dataset[sets.ood].tolist()))
        if reserved:
            raise ValueError(
                f'an OOD data set cannot be called {reserved[0]!r}, which has a meaning of its own in the '
                "metrics' keys; give it another dataset="
            )
        sets._warn(metric)
        return sets

    def selections(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Per OOD set, and for their union 'all', which samples count: all ID ones and those of the set."""
        for name in np.unique(self.dataset[self.ood]).tolist():
            yield name, ~self.ood | (self.dataset == name)
        yield ALL, np.ones_like(self.ood)

    def _warn(self, metric: str) -> None:
        if (self.confidence == self.confidence[0]).all():
            warnings.warn(
                f'all {self.confidence.size} samples have the confidence {self.confidence[0]:g}, so {metric} '
                'has nothing to rank them by',
                stacklevel=4,
            )
        inside = self.image[~self.ood]
        for name in np.unique(self.dataset[self.ood]):
            shared = np.setdiff1d(np.intersect1d(inside, self.image[self.dataset == name]), [0]).size
            if shared:
                warnings.warn(
                    f'{shared} image(s) of the OOD data set {str(name)!r} are in-distribution images, too '
                    '(the same path); take them out of one of the two',
                    stacklevel=4,
                )
