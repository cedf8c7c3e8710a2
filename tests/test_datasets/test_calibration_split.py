# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pickle
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mmengine.dataset import BaseDataset, ConcatDataset, DefaultSampler, default_collate
from mmengine.registry import DATASETS, DefaultScope
from torch.utils.data import DataLoader

from mmcascade.datasets import CalibrationSplit
from mmcascade.datasets.calibration_split import PARTS
from mmcascade.datasets.stratified import indices_with_rare, stratified_indices

LABELS = [2, 0, 1, 2, 2, 0, 1, 2, 0, 2, 2, 1, 2, 2, 0, 2]


class Labelled(BaseDataset):
    """Labels that are given, and the index as the image."""

    METAINFO = {'classes': ('a', 'b', 'c')}

    def __init__(self, labels=LABELS, **kwargs):
        self.labels = labels
        super().__init__(**{'serialize_data': False, **kwargs})

    def load_data_list(self):
        return [dict(img=np.full((2, 2, 1), i, np.uint8), gt_label=label) for i, label in enumerate(self.labels)]

    def get_cat_ids(self, idx):
        return [int(self.get_data_info(idx)['gt_label'])]


class Unlabelled(Labelled):
    def get_cat_ids(self, idx):
        return BaseDataset.get_cat_ids(self, idx)


class SeveralLabels(Labelled):
    def get_cat_ids(self, idx):
        return [0, 1] if idx == 3 else [0]


def parts(dataset=None, **options):
    return [CalibrationSplit(dataset or Labelled(), part=part, **options) for part in ('calibration', 'rest')]


def slow_indices(labels, num, seed):
    """Class by class, in exact fractions."""
    sizes = Counter(labels)
    exact = {label: Fraction(num * size, len(labels)) for label, size in sizes.items()}
    quota = {label: int(share) for label, share in exact.items()}
    by_remainder = sorted(exact, key=lambda label: (quota[label] - exact[label], label))
    for label in by_remainder[: num - sum(quota.values())]:
        quota[label] += 1
    drawn = []
    for index in np.random.RandomState(seed).permutation(len(labels)).tolist():
        if quota[labels[index]]:
            quota[labels[index]] -= 1
            drawn.append(index)
    return sorted(drawn)


@given(labels=st.lists(st.integers(-1, 4), min_size=2, max_size=60), data=st.data())
def test_draws_what_a_loop_over_classes_draws(labels, data):
    num = data.draw(st.integers(1, len(labels) - 1))
    seed = data.draw(st.integers(0, 2**32 - 1))
    expected = slow_indices(labels, num, seed)
    sizes, drawn = Counter(labels), Counter(labels[i] for i in expected)
    if all(0 < drawn[label] < size for label, size in sizes.items()):
        indices = stratified_indices(labels, num, seed)
        assert indices.tolist() == expected
        assert len(indices) == num
    else:
        with pytest.raises(ValueError, match='too small to be split'):
            stratified_indices(labels, num, seed)


@given(labels=st.lists(st.integers(-1, 9), min_size=2, max_size=40), data=st.data())
def test_small_classes_are_divided_as_if_they_were_one(labels, data):
    num = data.draw(st.integers(1, len(labels) - 1))
    indices, rare = indices_with_rare(labels, num, seed=3)
    merged = [99 if label in rare else label for label in labels]
    assert indices.tolist() == slow_indices(merged, num, 3) and len(indices) == num
    sizes, drawn = Counter(merged), Counter(merged[i] for i in indices)
    assert all(0 < drawn[label] < size for label, size in sizes.items() if label != 99)
    if not len(rare):
        assert indices.tolist() == stratified_indices(labels, num, 3).tolist()
    else:
        with pytest.raises(ValueError, match='too small to be split'):
            stratified_indices(labels, num, 3)


def test_a_split_names_the_classes_that_it_divided_together():
    labels = [0] * 6 + [1] * 6 + [2, 3, 4]
    first, second = (CalibrationSplit(Labelled(labels), fraction=0.5, part=part, rare='together') for part in PARTS)
    assert first.rare_classes == second.rare_classes == [2, 3, 4]
    assert sorted([*first.indices, *second.indices]) == list(range(15))
    assert {len(first), len(second)} == {7, 8}
    plain = CalibrationSplit(Labelled([0, 0, 1, 1]), fraction=0.5, part='rest', rare='together')
    assert plain.rare_classes == []


@given(sizes=st.lists(st.integers(2, 40), min_size=1, max_size=6), seed=st.integers(0, 99), data=st.data())
def test_parts_are_disjoint_complete_and_in_proportion(sizes, seed, data):
    labels = np.random.RandomState(1).permutation(np.repeat(np.arange(len(sizes)), sizes)).tolist()
    num = data.draw(st.integers(1, len(labels) - 1))
    exact = [num * size / len(labels) for size in sizes]
    assume(all(1 <= share <= size - 1 for share, size in zip(exact, sizes, strict=True)))
    calibration, rest = parts(Labelled(labels), num=num, seed=seed)
    assert len(calibration) == num
    assert sorted([*calibration.indices, *rest.indices]) == list(range(len(labels)))
    for label, share in enumerate(exact):
        drawn = sum(calibration.get_cat_ids(i) == [label] for i in range(len(calibration)))
        assert abs(drawn - share) < 1


def test_the_draw_is_the_same_on_every_machine():
    assert stratified_indices(LABELS, 6).tolist() == [1, 4, 6, 8, 9, 13]
    assert stratified_indices(LABELS, 6, seed=1).tolist() == [1, 2, 3, 7, 13, 14]


def test_fraction_and_number_mean_the_same():
    assert (parts(fraction=0.25)[0].indices == parts(num=4)[0].indices).all()
    assert len(parts(fraction=0.25)[0]) == 4


def test_the_pipeline_has_no_say_in_the_split():
    plain = Labelled()
    other = Labelled(pipeline=[lambda info: info['sample_idx']], test_mode=True)
    assert (parts(plain, num=5)[1].indices == parts(other, num=5)[1].indices).all()


@pytest.mark.parametrize('part', ['calibration', 'rest'])
def test_a_sample_keeps_its_index_in_the_whole_data_set(part):
    split = CalibrationSplit(Labelled(), num=6, part=part)
    for position, index in enumerate(split.indices):
        assert split[position]['sample_idx'] == index
        assert split[position]['img'].max() == index
        assert split.get_data_info(position)['sample_idx'] == index
        assert split.get_cat_ids(position) == [LABELS[index]]
    assert split[-1]['sample_idx'] == split.indices[-1]
    assert split.metainfo == {'classes': ('a', 'b', 'c')}


def packed(info):
    return dict(inputs=int(info['img'].max()), data_samples=info['sample_idx'])


@pytest.mark.filterwarnings('ignore:This DataLoader will create:UserWarning')  # torch's, on a machine of one core
@pytest.mark.parametrize('workers', [0, 2])
def test_loads_in_worker_processes(workers):
    split = CalibrationSplit(Labelled(pipeline=[packed]), num=6, part='rest')
    loader = DataLoader(
        split,
        batch_size=4,
        num_workers=workers,
        collate_fn=default_collate,
        sampler=DefaultSampler(split, shuffle=True, seed=3),
    )
    for _ in range(2):
        seen = [int(i) for batch in loader for i in batch['data_samples']]
        assert sorted(seen) == split.indices.tolist()


def test_survives_pickling():
    split = CalibrationSplit(Labelled(), num=6, part='rest')
    again = pickle.loads(pickle.dumps(split))
    assert (again.indices == split.indices).all()
    assert again[0]['sample_idx'] == split[0]['sample_idx']


def test_builds_from_a_config_in_the_default_scope(tmp_path):
    (tmp_path / 'list.txt').write_text(''.join(f'{i}.png {i % 2}\n' for i in range(8)))
    inner = dict(type='CustomDataset', ann_file=str(tmp_path / 'list.txt'), data_prefix='', classes=['a', 'b'])
    config = dict(type='mmcascade.CalibrationSplit', dataset=inner, fraction=0.5, part='rest')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        split = DATASETS.build(config)
    assert type(split.dataset).__module__.startswith('mmpretrain')
    assert sorted(split.get_cat_ids(i)[0] for i in range(len(split))) == [0, 0, 1, 1]
    assert inner['type'] == 'CustomDataset'


def test_lazy_init_waits_for_the_first_use():
    inner = Labelled(lazy_init=True)
    split = CalibrationSplit(inner, num=6, part='calibration', lazy_init=True)
    assert split.metainfo['classes'] and not inner._fully_initialized
    assert len(split) == 6 and inner._fully_initialized


def test_a_failed_sample_is_replaced_from_its_own_part_only():
    """The usual replacement draws from the whole data set, and so would train on calibration."""
    calibration, rest = parts(num=6)
    broken = set(rest.indices[:-2])
    keep = [lambda info: None if info['sample_idx'] in broken else info]
    split = CalibrationSplit(Labelled(pipeline=keep), num=6, part='rest')
    drawn = {split[position]['sample_idx'] for _ in range(20) for position in range(len(split))}
    assert drawn == set(rest.indices[-2:])


@pytest.mark.parametrize('test_mode, calls', [(True, 1), (False, 4)])
def test_a_pipeline_that_always_fails_is_an_error(test_mode, calls):
    seen = []
    inner = Labelled(pipeline=[seen.append], test_mode=test_mode, max_refetch=3)
    split = CalibrationSplit(inner, num=6, part='calibration')
    with pytest.raises(RuntimeError, match='pipeline of Labelled gave None for sample'):
        split[2]
    assert len(seen) == calls
    assert seen[0]['sample_idx'] == split.indices[2]


def test_the_pipeline_may_stand_outside():
    inner = dict(type=Labelled)
    split = CalibrationSplit(inner, num=6, part='rest', pipeline=[packed])
    assert [split[k]['data_samples'] for k in range(len(split))] == split.indices.tolist()
    assert inner == dict(type=Labelled)
    for dataset in (dict(inner, pipeline=[packed]), Labelled()):
        with pytest.raises(ValueError, match=r'pipeline= of CalibrationSplit is given to .* leave one of the two out'):
            CalibrationSplit(dataset, num=6, part='rest', pipeline=[packed])


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(), r'either fraction=.* or num=.*fraction=None and num=None'),
        (dict(fraction=0.5, num=3), 'either fraction='),
        (dict(fraction=0), r'number in \(0, 1\), got 0'),
        (dict(fraction=1.0), r'number in \(0, 1\), got 1.0'),
        (dict(fraction=float('nan')), r'number in \(0, 1\), got nan'),
        (dict(fraction='0.1'), r"number in \(0, 1\), got '0.1'"),
        (dict(num=0.2), 'whole number of samples for calibration, got 0.2; .* fraction='),
        (dict(num=0), 'num=0 leaves one part of the 16 samples of Labelled empty; expected 1 to 15'),
        (dict(num=16), 'num=16 leaves one part'),
        (dict(fraction=0.001), 'fraction=0.001 leaves one part'),
        (dict(num=6, seed=-1), r'seed= is a whole number in \[0, 2 \*\* 32\), got -1'),
        (dict(num=6, seed=True), 'seed= is a whole number'),
        (dict(num=6, part='test'), "'calibration', 'rest'.*got 'test'"),
        (dict(num=2), 'class 1 is too small to be split: of its 3 sample.*, 0 would go'),
        (dict(num=15), 'too small to be split'),
        (dict(num=6, rare='alone'), "rare= is one of .'refuse', 'together'., got 'alone'"),
    ],
)
def test_bad_arguments_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        CalibrationSplit(Labelled(), **dict(dict(part='rest'), **options))


@pytest.mark.parametrize(
    'dataset, words',
    [
        (Unlabelled(), 'Unlabelled gives no class labels .NotImplementedError'),
        (Labelled([None] * 4), 'Labelled gives no class labels .TypeError'),
        (SeveralLabels(), r'sample 3 of SeveralLabels has 2 class labels, \[0, 1\]'),
    ],
)
def test_data_without_one_label_per_sample_is_refused(dataset, words):
    with pytest.raises(ValueError, match=words):
        CalibrationSplit(dataset, num=6, part='rest')


def test_a_wrapper_is_refused_since_its_samples_share_indices():
    with pytest.raises(TypeError, match='plain data set.* got ConcatDataset'):
        CalibrationSplit(ConcatDataset([Labelled(), Labelled()]), num=6, part='rest')


def test_one_image_cannot_be_divided():
    with pytest.raises(ValueError, match=r'Labelled has 1 sample\(s\), and a split .* give more images'):
        CalibrationSplit(Labelled([0]), fraction=0.5, part='rest', rare='together')


def test_has_no_subsets():
    with pytest.raises(NotImplementedError, match='renumber'):
        CalibrationSplit(Labelled(), num=6, part='rest').get_subset_(3)
