# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Post-hoc detectors: a battery that every one must pass, and the nearest neighbours by brute force."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from mmcascade.calibration.detectors import BankError, FeatureBank, KNNConfidence
from mmcascade.calibration.detectors import knn as knn_module
from mmcascade.calibration.detectors.knn import knn_score
from mmcascade.registry import TASK_UTILS
from mmcascade.routing import CachedStage, CascadeRouter, RandomPolicy, WindowPolicy

SOURCES = ('a on view 0', 'b on view 1')
WIDTHS = (8, 5)
N, M, CLASSES = 40, 30, 3


def make_bank(seed=0, images=M):
    rng = np.random.default_rng(seed)
    features = {
        s: (rng.standard_normal((images, w)) + 2).astype(np.float32) for s, w in zip(SOURCES, WIDTHS, strict=True)
    }
    return FeatureBank(features, dict.fromkeys(SOURCES, 'w'), rng.integers(CLASSES, size=images), {'units': images})


def make_stages(seed=1, shift=2.0):
    generator = torch.Generator().manual_seed(seed)
    return [
        CachedStage(
            torch.randn(N, CLASSES, generator=generator),
            macs=1.0,
            source=source,
            features=torch.randn(N, width, generator=generator) + shift,
        )
        for source, width in zip(SOURCES, WIDTHS, strict=True)
    ]


def knn(bank):
    return KNNConfidence(bank, k=3)


DETECTORS = [knn]


@pytest.mark.parametrize('make', DETECTORS)
class TestBattery:
    """What the router and the calibration rely on."""

    def scores(self, make, stages, windows, fusion='prob', bank=None):
        router = CascadeRouter(stages, WindowPolicy(windows), make(bank or make_bank()), fusion)
        return router.route([], range(N))

    def test_one_finite_number_per_unit_and_higher_for_what_the_bank_holds(self, make):
        near = self.scores(make, make_stages(shift=2.0), [(None, None)]).confidence
        far = self.scores(make, make_stages(shift=-2.0), [(None, None)]).confidence
        assert near.shape == (N,) and near.dtype == torch.float32
        assert near.isfinite().all() and far.isfinite().all()
        assert near.median() > far.max()

    def test_members_are_averaged_in_every_fusion(self, make):
        stages = make_stages()
        alone = [self.scores(make, [stage], []).confidence for stage in stages]
        for fusion, expected in (('prob', sum(alone) / 2), ('logit', sum(alone) / 2), ('replace', alone[1])):
            torch.testing.assert_close(self.scores(make, stages, [(None, None)], fusion).confidence, expected)

    def test_batches_and_order_of_stages_do_not_matter(self, make):
        stages = make_stages()
        whole = self.scores(make, stages, [(None, None)]).confidence
        reverse = self.scores(make, stages[::-1], [(None, None)]).confidence
        torch.testing.assert_close(whole, reverse)
        router = CascadeRouter(stages, WindowPolicy([(None, None)]), make(make_bank()))
        parts = torch.cat([router.route([], range(i, i + 8)).confidence for i in range(0, N, 8)])
        torch.testing.assert_close(whole, parts)

    def test_routes(self, make):
        first = self.scores(make, make_stages()[:1], []).confidence
        low, high = first.sort().values[[10, 29]].tolist()
        outcome = self.scores(make, make_stages(), [(low, high)])
        assert outcome.exit_stage.tolist() == [int(low <= c <= high) for c in first.tolist()]

    def test_non_finite_features_leave_the_mean_as_non_finite_logits_do(self, make):
        stages = make_stages()
        stages[0].features[:3] = torch.nan
        stages[1].features[2:5] = torch.inf
        alone = [self.scores(make, [stage], []).confidence for stage in make_stages()]
        outcome = self.scores(make, stages, [(None, None)])
        torch.testing.assert_close(outcome.confidence[:2], alone[1][:2])
        torch.testing.assert_close(outcome.confidence[3:5], alone[0][3:5])
        assert outcome.confidence[2] == -torch.inf
        assert outcome.finite_stages[:6].tolist() == [1, 1, 0, 1, 1, 2]

    def test_zero_and_huge_features_have_a_score(self, make):
        stages = make_stages()[:1]
        stages[0].features[0] = 0
        stages[0].features[1] = 1e18
        assert self.scores(make, stages, []).confidence.isfinite().all()

    def test_half_precision_features_give_float32_scores(self, make):
        stage = make_stages()[0]
        stages = [replace(stage, features=stage.features.half())]
        assert self.scores(make, stages, []).confidence.dtype == torch.float32

    def test_equal_names_mean_equal_scores(self, make):
        assert make(make_bank()).name == make(make_bank()).name
        assert make(make_bank()).name != make(make_bank(seed=1)).name

    def test_stages_without_features_or_unknown_to_the_bank_are_named(self, make):
        stage = replace(make_stages()[0], features=None)
        with pytest.raises(ValueError, match=r'stage \(a on view 0\) gives none'):
            self.scores(make, [stage], [])
        stage = replace(make_stages()[0], source='c on view 0')
        with pytest.raises(ValueError, match="no features of stage 'c on view 0', only of"):
            self.scores(make, [stage], [])

    def test_weights_are_checked_where_they_are_known(self, make):
        detector = make(make_bank())
        detector.check({SOURCES[0]: '', SOURCES[1]: 'w'})
        with pytest.raises(ValueError, match='weights of stage .b on view 1. have changed'):
            detector.check({SOURCES[1]: 'other'})
        with pytest.raises(ValueError, match="no features of stage 'c'"):
            detector.check({'c': ''})


@pytest.mark.parametrize('k', [1, 4, M])
@pytest.mark.parametrize('products', [1, 100, 1 << 24])
def test_nearest_neighbours_equal_brute_force(k, products, monkeypatch):
    monkeypatch.setattr(knn_module, '_PRODUCTS', products)
    rng = np.random.default_rng(0)
    bank, rows = rng.standard_normal((M, 6)), rng.standard_normal((9, 6))
    unit_bank = bank / np.linalg.norm(bank, axis=1, keepdims=True)
    expected = []
    for row in rows:
        distances = sorted(float(np.linalg.norm(row / np.linalg.norm(row) - other)) for other in unit_bank)
        expected.append(-distances[k - 1])
    got = knn_score(torch.from_numpy(rows), torch.from_numpy(unit_bank), k)
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_what_the_bank_holds_is_its_own_neighbour():
    bank = torch.nn.functional.normalize(torch.randn(M, 6), dim=1)
    torch.testing.assert_close(knn_score(3 * bank, bank, 1), torch.zeros(M), atol=1e-3, rtol=0)


def test_bank_goes_round_and_is_told_by_its_content(tmp_path):
    bank = make_bank()
    bank.save(tmp_path / 'deep' / 'bank.npz')
    loaded = FeatureBank.load(tmp_path / 'deep' / 'bank.npz')
    assert loaded.fingerprint == bank.fingerprint
    assert (loaded.weights, loaded.data) == (bank.weights, bank.data)
    for source in SOURCES:
        np.testing.assert_array_equal(loaded.features[source], bank.features[source])
    np.testing.assert_array_equal(loaded.labels, bank.labels)
    built = TASK_UTILS.build(dict(type='mmcascade.KNNConfidence', bank=str(tmp_path / 'deep' / 'bank.npz'), k=7))
    assert built.name == f'KNNConfidence(k=7, bank={bank.fingerprint})'


def header(**changes):
    return np.array(json.dumps({'schema': 1, 'stages': ['a'], 'weights': {'a': 'w'}, 'data': {}, **changes}))


@pytest.mark.parametrize(
    ('arrays', 'message'),
    [
        (dict(header=header(schema=2)), 'schema 2.*reads up to 1'),
        (dict(header=header()), 'is no feature bank of mmcascade'),
        (dict(header=np.array('nothing')), 'is no feature bank'),
        (dict(header=np.array({'a': object()})), 'is no feature bank'),  # a pickle, which is not read
        (dict(header=header(), labels=np.zeros(2), stage0=np.zeros((3, 4))), "no finite row per image for stage 'a'"),
        (dict(header=header(), labels=np.zeros(2), stage0=np.full((2, 4), np.nan)), 'no finite row per image'),
    ],
)
def test_bad_files_are_named(tmp_path, arrays, message):
    path = tmp_path / 'bank.npz'
    np.savez(path, **arrays)
    with pytest.raises(BankError, match=message):
        FeatureBank.load(path)


def test_missing_broken_and_small_banks(tmp_path):
    with pytest.raises(BankError, match='does not exist; make it with tools/fit_detector.py'):
        KNNConfidence(tmp_path / 'none.npz')
    (tmp_path / 'text.npz').write_text('text')
    with pytest.raises(BankError, match='is no feature bank'):
        KNNConfidence(tmp_path / 'text.npz')
    with pytest.raises(BankError, match='holds 30 images, fewer than k=31'):
        KNNConfidence(make_bank(), k=31)
    with pytest.raises(ValueError, match='k of KNNConfidence is a whole number >= 1, got 0'):
        KNNConfidence(make_bank(), k=0)
    with pytest.raises(BankError, match='has no bank to compare with'):
        CascadeRouter(make_stages()[:1], WindowPolicy([]), KNNConfidence(None)).route([], range(N))


def test_a_bank_of_other_features_is_refused():
    stage = make_stages()[0]
    stage = replace(stage, features=stage.features[:, :4])
    with pytest.raises(BankError, match="has 8 features per image for stage 'a on view 0', which gives 4"):
        CascadeRouter([stage], WindowPolicy([]), knn(make_bank())).route([], range(N))


def test_random_routing_works_with_a_detector():
    outcome = CascadeRouter(make_stages(), RandomPolicy([0.5]), knn(make_bank())).route([], range(N))
    assert 0 < outcome.exit_stage.mean() < 1


def test_each_precision_has_its_own_bank():
    detector = knn(make_bank())
    features = make_stages()[0].features
    single = detector.feature_score(features, SOURCES[0])
    double = detector.feature_score(features.double(), SOURCES[0])
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(double.float(), single)
