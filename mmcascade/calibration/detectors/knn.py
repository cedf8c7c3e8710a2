# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The distance to the nearest neighbours among in-distribution features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmcascade.calibration.detectors.feature_bank import BankError, FeatureBank
from mmcascade.routing.checks import whole
from mmcascade.routing.confidences.confidence import CONFIDENCE_TYPES
from mmcascade.routing.confidences.feature_confidence import FeatureConfidence

_PRODUCTS = 1 << 24  # similarities at a time, which bounds the memory for them


def knn_score(features: Tensor, bank: Tensor, k: int) -> Tensor:
    """Negative Euclidean distance to the k-th nearest row of a bank, both L2-normalised (Sun et al. 2022, equation 2).

    "Out-of-Distribution Detection with Deep Nearest Neighbors". Higher = more like the bank, in [-2, 0].

    Args:
        features: ``(N, D)``.
        bank: ``(M, D)``, normalised already, with M >= k.
        k: which neighbour counts, from 1.
    """
    rows = normalize(features, dim=1).split(max(1, _PRODUCTS // len(bank)))
    nearest = torch.cat([(part @ bank.T).topk(k, dim=1).values[:, -1] for part in rows])
    return -(2 - 2 * nearest).clamp_min(0).sqrt()


@CONFIDENCE_TYPES.register()
class KNNConfidence(FeatureConfidence):
    """Detects what is out of distribution by the k-th nearest neighbour of each member's features.

    ``confidence=dict(type='mmcascade.KNNConfidence', bank='bank.npz')`` routes a cascade by it: the mean of
    :func:`knn_score` over the members that ran. Comparing with a bank of M images costs M * D multiply-adds per image
    and stage, which ``macs`` does not count.

    Args:
        bank: a :class:`FeatureBank`, or the path of one made by tools/fit_detector.py; None only while making it. Its
            images belong neither to the calibration split nor to the test split: an image is its own nearest neighbour.
        k: which neighbour counts. Larger is smoother; about 1 in 1000 images of the bank is a start.

    Raises:
        BankError: if the bank cannot be read, or holds fewer than k images.
    """

    def __init__(self, bank: FeatureBank | str | Path | None, k: int = 50) -> None:
        self.k = whole(k, 'k of KNNConfidence', least=1)
        self.bank = FeatureBank.load(bank) if isinstance(bank, (str, Path)) else bank
        if self.bank is not None and self.bank.images < k:
            raise BankError(
                f'the feature bank holds {self.bank.images} images, fewer than k={k}; lower k or make a '
                'larger bank with tools/fit_detector.py'
            )
        self._normalised: dict[tuple[str, torch.device, torch.dtype], Tensor] = {}

    @property
    def name(self) -> str:
        """What calibrations call it: equal names give equal scores."""
        return f'KNNConfidence(k={self.k}, bank={self.bank.fingerprint if self.bank else None})'

    def __repr__(self) -> str:
        return self.name

    def check(self, weights: Mapping[str, str]) -> None:
        """Raise ValueError unless its bank was filled with the features of these weights."""
        if self.bank is not None:
            self.bank.check(weights)

    def feature_score(self, features: Tensor, source: str) -> Tensor:
        """The score of one member, ``(N)``; see the base class."""
        return knn_score(features, self._rows(source, features), self.k)

    def _rows(self, source: str, like: Tensor) -> Tensor:
        if self.bank is None:
            raise BankError(
                'KNNConfidence has no bank to compare with; make one with tools/fit_detector.py and name it in bank='
            )
        key = source, like.device, like.dtype
        if key not in self._normalised:
            bank = torch.from_numpy(self.bank.of_stage(source)).to(like)
            if bank.shape[1] != like.shape[1]:
                raise BankError(
                    f'the bank has {bank.shape[1]} features per image for stage {source!r}, which gives '
                    f'{like.shape[1]}; make it again with tools/fit_detector.py'
                )
            self._normalised[key] = normalize(bank, dim=1)
        return self._normalised[key]
