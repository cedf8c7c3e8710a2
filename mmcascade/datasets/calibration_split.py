# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One labelled data set as two: a part to calibrate on, and the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from torch.utils.data import Dataset

from mmcascade.datasets.stratified import indices_with_rare, stratified_indices
from mmcascade.registry import DATASETS
from mmcascade.routing.checks import is_number, is_whole

PARTS = ('calibration', 'rest')
#: What becomes of classes that are too small to be in both parts: an error, or they are divided as if they were one.
RARE = ('refuse', 'together')


@DATASETS.register_module()
class CalibrationSplit(Dataset):
    """One of two parts of a labelled data set: what thresholds are calibrated on, or the rest.

    The parts are disjoint, together the whole data set, and class-stratified. Which sample falls
    where depends only on the data set's labels in their order, on the size and on the seed: two
    configs, or two machines, that agree on these agree on the parts, whatever their pipelines.
    ``sample_idx`` stays the index in the whole data set.

    An image with a label per pixel has no class. Such data sets are split by ``drive`` where their
    images carry one (see :class:`mmcascade.datasets.camvid.CamVidDataset`), so that each drive has
    its share in both parts, and else image by image.

    Args:
        dataset: Config or object of a data set with one label per sample, or of one for
            segmentation. A config is built in the default scope.
        fraction: Share of the samples that is for calibration, in (0, 1); or
        num: their number.
        seed: Another seed gives another split; in [0, 2 ** 32).
        part: 'calibration' or 'rest'.
        rare: What becomes of classes that have too few samples to be in both parts: 'refuse', or
            'together' to divide them as if they were one class; see :attr:`rare_classes`.
        pipeline: The wrapped data set's, which then has none of its own: OpenMMLab's inferencers
            look for it in the outer config.
        lazy_init: Draw the parts on first use. The wrapped data set has a ``lazy_init`` of its
            own.

    Raises:
        TypeError, ValueError: Naming the value, what was expected and the fix.

    Example:
        ``train_dataloader = dict(dataset=dict(type='mmcascade.CalibrationSplit', part='rest',
        fraction=0.1, dataset=dict(type='CIFAR10', split='train', ...)), ...)``
    """

    def __init__(
        self,
        dataset: Mapping[str, Any] | BaseDataset,
        *,
        fraction: float | None = None,
        num: int | None = None,
        seed: int = 0,
        part: str,
        rare: str = 'refuse',
        pipeline: Sequence[Any] | None = None,
        lazy_init: bool = False,
    ) -> None:
        _check_arguments(fraction, num, seed, part)
        if rare not in RARE:
            raise ValueError(f'rare= is one of {RARE}, got {rare!r}')
        if pipeline is not None:
            dataset = _with_pipeline(dataset, pipeline)
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
        if not isinstance(self.dataset, BaseDataset):
            raise TypeError(
                'dataset= of CalibrationSplit is the config or object of a plain data set, a '
                f'BaseDataset of mmengine, got {type(self.dataset).__name__}; split each plain '
                'data set and wrap the splits'
            )
        self.fraction, self.num, self.seed, self.part, self.rare = fraction, num, seed, part, rare
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Load the data set and draw the parts."""
        if self._fully_initialized:
            return
        self.dataset.full_init()
        labels, kind = _strata(self.dataset)
        num = self.num if self.fraction is None else round(self.fraction * len(labels))
        assert num is not None  # one of the two is given
        if len(labels) < 2:
            raise ValueError(
                f'{type(self.dataset).__name__} has {len(labels)} sample(s), and a split into a calibration part and '
                'the rest needs at least two; give more images'
            )
        if not 0 < num < len(labels):
            asked = f'num={num}' if self.fraction is None else f'fraction={self.fraction}'
            raise ValueError(
                f'{asked} leaves one part of the {len(labels)} samples of '
                f'{type(self.dataset).__name__} empty; expected 1 to {len(labels) - 1} of them '
                'for calibration'
            )
        self._rare: list[Any] = []
        if self.rare == 'together':
            indices, rare = indices_with_rare(labels, num, self.seed)
            self._rare = rare.tolist()
        else:
            indices = stratified_indices(labels, num, self.seed, kind)
        if self.part == 'rest':
            indices = np.setdiff1d(np.arange(len(labels)), indices, assume_unique=True)
        self._indices = indices
        self._fully_initialized = True

    @property
    def indices(self) -> np.ndarray:
        """Where the samples of this part stand in the whole data set, ascending."""
        self.full_init()
        return self._indices

    @property
    def rare_classes(self) -> list[Any]:
        """Classes (or drives) with too few samples to be in both parts, which were divided together."""
        self.full_init()
        return self._rare

    @property
    def metainfo(self) -> dict[str, Any]:
        """The wrapped data set's, such as its class names."""
        return self.dataset.metainfo

    def __len__(self) -> int:
        return len(self.indices)

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """The annotation of a sample, before the pipeline."""
        return self.dataset.get_data_info(int(self.indices[idx]))

    def get_cat_ids(self, idx: int) -> list[int]:
        """The class of a sample, as a list of one."""
        return self.dataset.get_cat_ids(int(self.indices[idx]))

    def __getitem__(self, idx: int) -> Any:
        # Not dataset[...]: where a pipeline gives nothing, that goes on to any sample of the whole
        # data set, and so trains on what is for calibration.
        for _ in range(1 if self.dataset.test_mode else self.dataset.max_refetch + 1):
            data = self.dataset.prepare_data(int(self.indices[idx]))
            if data is not None:
                return data
            failed, idx = idx, np.random.randint(len(self))
        raise RuntimeError(
            f'the pipeline of {type(self.dataset).__name__} gave None for sample '
            f'{self.indices[failed]}; look at its file and at the transforms'
        )

    def get_subset(self, indices: Any) -> None:
        """Refused: subsets would renumber the samples."""
        raise NotImplementedError(
            'CalibrationSplit has no subsets, since they would renumber its samples; give the '
            'wrapped data set indices=... instead'
        )

    get_subset_ = get_subset

    def __repr__(self) -> str:
        size = f'num={self.num}' if self.fraction is None else f'fraction={self.fraction}'
        return f'{type(self).__name__}({size}, seed={self.seed}, part={self.part!r})'


def _check_arguments(fraction: Any, num: Any, seed: Any, part: Any) -> None:
    if (fraction is None) == (num is None):
        raise ValueError(
            'CalibrationSplit takes either fraction=, in (0, 1), or num=, the number of samples '
            f'for calibration, got fraction={fraction!r} and num={num!r}'
        )
    if fraction is not None and not (is_number(fraction) and 0 < fraction < 1):
        raise ValueError(
            'fraction= is the share of the samples that is for calibration, a number in (0, 1), '
            f'got {fraction!r}; give a number of samples as num='
        )
    if num is not None and not is_whole(num):
        raise ValueError(f'num= is a whole number of samples for calibration, got {num!r}; give a share as fraction=')
    if not is_whole(seed) or not 0 <= seed < 2**32:
        raise ValueError(f'seed= is a whole number in [0, 2 ** 32), got {seed!r}')
    if part not in PARTS:
        raise ValueError(f'part= is one of {PARTS}, got {part!r}')


def _with_pipeline(dataset: Any, pipeline: Sequence[Any]) -> dict[str, Any]:
    if not isinstance(dataset, Mapping) or 'pipeline' in dataset:
        raise ValueError(
            'pipeline= of CalibrationSplit is given to the data set, so dataset= is then a config without a pipeline '
            f'of its own; leave one of the two out. Got dataset={dataset!r}'
        )
    return dict(dataset, pipeline=pipeline)


def _strata(dataset: BaseDataset) -> tuple[np.ndarray, str]:
    """The group of each sample, every one of which is to be split in proportion, and what the groups are."""
    if not len(dataset) or 'seg_fields' not in dataset.get_data_info(0):
        return _read_labels(dataset), 'class'
    drives = [dataset.get_data_info(index).get('drive', '') for index in range(len(dataset))]
    return np.array(drives), 'drive'


def _read_labels(dataset: BaseDataset) -> np.ndarray:
    name = type(dataset).__name__
    try:
        labels = [dataset.get_cat_ids(index) for index in range(len(dataset))]
    except (NotImplementedError, KeyError, TypeError) as error:
        raise ValueError(
            f'{name} gives no class labels ({type(error).__name__} in get_cat_ids: {error}), so '
            'it cannot be split by class; use a labelled data set, or split its annotation file'
        ) from error
    for index, label in enumerate(labels):
        if len(label) != 1:
            raise ValueError(
                f'sample {index} of {name} has {len(label)} class labels, {label}, and a split by '
                'class needs exactly one; split its annotation file instead'
            )
    return np.array(labels, dtype=np.int64).ravel()
