# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Torch, the bundle, the single file and the server decide alike; Ray's part of this is in tests/test_ray."""

from __future__ import annotations

import numpy as np
import pytest

from mmcascade.runtime import Decision
from tests.support.engines import COUNT, ON_A_BOUND, by_bundle, by_server, by_single_file, distance, make_case

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def case(project, exported_bundle, tmp_path_factory):
    return make_case(project, exported_bundle, tmp_path_factory.mktemp('every_engine') / 'images')


def test_the_images_put_the_engines_to_the_test(case):
    """Every outcome is there, and next to no image may be excused."""
    assert {one.exit_stage for one in case.torch} == {0, 1} and {one.accepted for one in case.torch} == {True, False}
    assert len({one.label for one in case.torch}) >= 2
    assert len(case.torch) == COUNT and len(case.on_a_bound) <= 2


@pytest.mark.parametrize(
    ('engine', 'decide'),
    [
        ('the bundle in ONNX Runtime', by_bundle('onnxruntime')),
        ('the bundle in OpenVINO', by_bundle('openvino')),
        ('the single file', by_single_file),
        ('the server', by_server),
    ],
)
def test_decides_as_torch(case, engine, decide):
    assert case.check(engine, decide(case)) <= len(case.on_a_bound)


def test_an_engine_that_decides_otherwise_is_named(case):
    found = by_bundle('onnxruntime')(case)
    place = next(k for k in range(COUNT) if k not in case.on_a_bound)
    found[place] = type(found[place])(found[place].label, not found[place].accepted, found[place].exit_stage)
    with pytest.raises(AssertionError, match=f'other decides otherwise .*{place}: '):
        case.check('other', found)


def test_what_lies_on_a_bound():
    def decision(*scores: float, probs: tuple[float, ...] = (0.9, 0.1)) -> Decision:
        from mmcascade.runtime import StageScore

        stages = tuple(StageScore(0, score) for score in scores)
        return Decision(0, None, scores[-1], True, len(scores) - 1, 1.0, np.float32(probs), stages=stages)

    windows = [(0.3, 0.6), (None, 0.8)]
    assert distance(decision(0.2), windows, 0.5) == pytest.approx(0.1)
    assert distance(decision(0.6 + ON_A_BOUND / 2), windows, 0.5) < ON_A_BOUND
    assert distance(decision(0.4, 0.95, 0.5), windows, 0.5) == 0
    assert distance(decision(0.4, 0.95, 0.8), windows, 0.5) == pytest.approx(0.1)  # the last score meets no window
    assert distance(decision(0.95, probs=(0.5, 0.49999)), windows, 0.5) < ON_A_BOUND
