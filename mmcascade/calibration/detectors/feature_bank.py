# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Features of in-distribution images, kept in a file: what post-hoc detectors are fitted on."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade._system.files import written_whole
from mmcascade.calibration.stores.fingerprints import fingerprint
from mmcascade.calibration.stores.score_store import ScoreStore

SCHEMA = 1


class BankError(ValueError):
    """A feature bank that cannot be used here."""


@dataclass(frozen=True)
class FeatureBank:
    """Penultimate features of every stage on the same in-distribution images.

    Attributes:
        features: per stage, by its name, float32 ``(images, D)`` without NaN or infinity.
        weights: per stage the fingerprint of the member's weights.
        labels: int64 ``(images)``, -1 where there is none.
        data: number of images ('units') and fingerprint ('fingerprint') of the data set they are from.
    """

    features: dict[str, NDArray[np.float32]]
    weights: dict[str, str]
    labels: NDArray[np.int64]
    data: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, store: ScoreStore, images: int | None = None, seed: int = 0) -> FeatureBank:
        """Take the features of all images of a store, or of some drawn at random.

        Images for which a stage gave no finite features are left out, as those marked as out of distribution are.

        Raises:
            BankError: if the store holds no features, is not complete, or nothing is left.
        """
        stages = store.stages()
        if any(stage.features is None for stage in stages):
            raise BankError(
                f'the score store {store.folder} holds no features; fill it with a confidence that reads features'
            )
        columns = {stage.source: np.asarray(stage.features) for stage in stages}
        usable = np.asarray(store.labels) >= 0
        for rows in columns.values():
            usable &= np.isfinite(rows).all(1)
        chosen = np.flatnonzero(usable)
        if images is not None and images < len(chosen):
            chosen = np.sort(np.random.RandomState(seed).permutation(chosen)[:images])
        if not len(chosen):
            raise BankError(f'the score store {store.folder} holds no in-distribution image with finite features')
        weights = {
            stage.source: identity.weights for stage, identity in zip(stages, store.header.identity.stages, strict=True)
        }
        return cls(
            {name: rows[chosen] for name, rows in columns.items()},
            weights,
            np.asarray(store.labels)[chosen],
            store.header.identity.data.summary(),
        )

    @property
    def images(self) -> int:
        """How many images it holds features of."""
        return len(self.labels)

    @property
    def fingerprint(self) -> str:
        """A short name for its content."""
        return fingerprint(
            part
            for name in sorted(self.features)
            for part in (name.encode(), np.ascontiguousarray(self.features[name]).tobytes())
        )

    def of_stage(self, source: str) -> NDArray[np.float32]:
        """The features of one stage.

        Raises:
            BankError: if it has none.
        """
        if source not in self.features:
            raise BankError(
                f'the feature bank has no features of stage {source!r}, only of {sorted(self.features)}; '
                'make one for these stages with tools/fit_detector.py'
            )
        return self.features[source]

    def check(self, weights: Mapping[str, str]) -> None:
        """Raise BankError unless it was made by these stages, see :meth:`mmcascade.routing.Confidence.check`."""
        for source, here in weights.items():
            self.of_stage(source)
            if here and here != self.weights[source]:
                raise BankError(
                    f'the weights of stage {source!r} have changed since the feature bank was made; make '
                    'it again with tools/fit_detector.py'
                )

    def save(self, path: str | Path) -> None:
        """Write a .npz file without pickled objects, in one piece: a reader sees the old one or the new one."""
        header = {'schema': SCHEMA, 'stages': list(self.features), 'weights': self.weights, 'data': self.data}
        arrays: dict[str, Any] = {f'stage{k}': rows for k, rows in enumerate(self.features.values())}
        with written_whole(path, 'wb') as file:
            np.savez(file, header=np.array(json.dumps(header)), labels=self.labels, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> FeatureBank:
        """Read a file; nothing in it is executed.

        Raises:
            BankError: if it is missing, unreadable, of a newer schema or incomplete.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                header = json.loads(str(file['header']))
                if header['schema'] > SCHEMA:
                    raise BankError(
                        f'the feature bank {path} has schema {header["schema"]}, and this version of '
                        f'mmcascade reads up to {SCHEMA}; update mmcascade or make the bank again'
                    )
                features = {name: file[f'stage{k}'] for k, name in enumerate(header['stages'])}
                bank = cls(features, header['weights'], file['labels'], header['data'])
        except FileNotFoundError:
            raise BankError(f'the feature bank {path} does not exist; make it with tools/fit_detector.py') from None
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            if isinstance(error, BankError):
                raise
            raise BankError(
                f'{path} is no feature bank of mmcascade ({type(error).__name__}: {error}); make one with '
                'tools/fit_detector.py'
            ) from error
        for name, rows in bank.features.items():
            if rows.ndim != 2 or len(rows) != bank.images or not np.isfinite(rows).all():
                raise BankError(f'the feature bank {path} holds no finite row per image for stage {name!r}')
        return bank
