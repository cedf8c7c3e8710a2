# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch

from mmcascade.registry import TASK_UTILS
from mmcascade.routing import (
    CONFIDENCE_TYPES,
    CONFIDENCES,
    POLICIES,
    REDUCERS,
    CellConfidence,
    Confidence,
    Distribution,
    FusedConfidence,
    Registry,
    ThresholdPolicy,
    UnknownNameError,
    WindowPolicy,
    build_confidence,
)
from mmcascade.routing.confidences.pixel_reducers import MeanReducer, build_reducer


def agreement(fused: Distribution) -> torch.Tensor:
    return fused.probs.square().sum(1)


@pytest.fixture
def things() -> Registry:
    registry = Registry('thing', 'an object')
    registry['first'] = 1
    registry['second'] = 2
    return registry


def test_it_is_a_mapping_in_the_order_of_registration(things):
    assert list(things.items()) == [('first', 1), ('second', 2)] and len(things) == 2
    assert 'first' in things and 'third' not in things and 3 not in things
    things['first'] = 3
    del things['second']
    assert dict(things) == {'first': 3}


def test_an_unknown_name_is_told_the_nearest_one(things):
    with pytest.raises(UnknownNameError) as raised:
        things['secnod']
    assert str(raised.value) == "unknown thing 'secnod'; did you mean 'second'? Known: 'first', 'second', or an object"
    assert isinstance(raised.value, KeyError) and isinstance(raised.value, ValueError)
    with pytest.raises(ValueError, match=r"unknown thing 'quite other'; Known: 'first', 'second'"):
        things['quite other']
    assert things.get('secnod') is None


def test_a_name_is_given_once(things):
    with pytest.raises(ValueError, match="there is a thing 'agreement' already; .*replace=True"):
        for function in (agreement, lambda fused: fused):
            things.register('agreement')(function)
    assert things['agreement'] is agreement
    things.register()(agreement)  # the same one, as when its module is read again
    things.register('agreement', replace=True)(build_reducer)
    assert things['agreement'] is build_reducer
    with pytest.raises(TypeError, match='has no name of its own; give it one'):
        things.register()(object())
    with pytest.raises(TypeError, match='the name of a thing is a word, got 3'):
        things[3] = 1


def test_followers_hear_of_all_parts(things):
    heard = []
    things.follow(lambda name, part: heard.append((name, part)))
    things['third'] = 3
    assert heard == [('first', 1), ('second', 2), ('third', 3)]


def test_classes_are_built_from_configs_with_and_without_scope():
    for kind in ('WindowPolicy', 'mmcascade.WindowPolicy', WindowPolicy):
        policy = POLICIES.build(dict(type=kind, windows=[(0.1, 0.2)]))
        assert type(policy) is WindowPolicy and policy.rules == [(0.1, 0.2)]
    with pytest.raises(UnknownNameError, match="unknown policy 'WindowPolcy'; did you mean 'WindowPolicy'"):
        POLICIES.build(dict(type='mmcascade.WindowPolcy', windows=[]))
    with pytest.raises(TypeError, match=r"has a type, such as dict\(type='WindowPolicy'\), got {'windows': \[\]}"):
        POLICIES.build(dict(windows=[]))
    built = build_confidence(dict(type='CellConfidence', t_unk=None))
    assert isinstance(built, CellConfidence) and built.t_unk is None


def test_a_function_becomes_a_confidence_that_is_called_as_registered(monkeypatch):
    monkeypatch.setattr(CONFIDENCES, '_parts', dict(CONFIDENCES))
    CONFIDENCES.register('agree')(agreement)
    assert CONFIDENCES['agree'] == FusedConfidence(agreement, 'agree') and CONFIDENCES['agree'].name == 'agree'
    with pytest.raises(TypeError, match='CONFIDENCE_TYPES takes classes'):
        CONFIDENCES.register('other')(CellConfidence)
    assert 'other' not in CONFIDENCES


def test_known_names():
    assert list(CONFIDENCES) == [
        'max_prob',
        'prob_gap',
        'neg_entropy',
        'logit_gap',
        'energy',
        'max_logit',
        'neg_mutual_information',
        'neg_variation_ratio',
        'agreement',
    ]
    assert all(confidence.name == name for name, confidence in CONFIDENCES.items())
    assert {'WindowPolicy', 'ThresholdPolicy', 'RandomPolicy'} <= POLICIES.keys()
    assert list(REDUCERS) == ['mean', 'quantile', 'fraction_below'] and REDUCERS['mean'] is MeanReducer
    with pytest.raises(ValueError, match="unknown confidence 'maxprob'; did you mean 'max_prob'"):
        build_confidence('maxprob')


def test_what_is_registered_here_is_found_by_configs(monkeypatch):
    class MyConfidence(Confidence):
        def score(self, state):
            return state.fused.probs[:, 0]

    class MyPolicy(ThresholdPolicy):
        pass

    monkeypatch.setattr(TASK_UTILS, '_module_dict', dict(TASK_UTILS.module_dict))
    for registry, part in ((CONFIDENCE_TYPES, MyConfidence), (POLICIES, MyPolicy)):
        monkeypatch.setattr(registry, '_parts', dict(registry))
        registry.register()(part)
    assert isinstance(TASK_UTILS.build(dict(type='mmcascade.MyConfidence')), MyConfidence)
    assert isinstance(TASK_UTILS.build(dict(type='mmcascade.MyPolicy', thresholds=[0.5])), MyPolicy)
    with pytest.raises(KeyError, match="unknown task util of mmcascade 'MyPolcy'; did you mean 'MyPolicy'"):
        TASK_UTILS.build(dict(type='mmcascade.MyPolcy', thresholds=[0.5]))
    with pytest.raises(KeyError, match='NothingLikeIt is not in the'):
        TASK_UTILS.build(dict(type='mmcascade.NothingLikeIt'))


def test_messages_without_an_alternative_end_with_the_names():
    registry = Registry('thing')
    with pytest.raises(UnknownNameError) as raised:
        registry['x']
    assert str(raised.value) == "unknown thing 'x'; Known: none"
    with pytest.raises(TypeError, match=r"such as dict\(type='NAME'\), got {}"):
        registry.build({})
    registry['first'] = 1
    with pytest.raises(UnknownNameError) as raised:
        registry['x']
    assert str(raised.value) == "unknown thing 'x'; Known: 'first'"


def test_a_function_whose_module_was_read_again_is_the_same():
    registry = Registry('thing')
    first, again = {'__name__': 'm'}, {'__name__': 'm'}
    for namespace in (first, again):
        exec('def f(): pass', namespace)
        registry.register()(namespace['f'])
    assert first['f'] is not again['f'] and registry['f'] is again['f']
