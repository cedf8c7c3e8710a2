# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One ONNX graph decides as the bundle that it was made of."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from mmcascade import routing
from mmcascade.models.export.one_graph.single_file import bounds_of, single_file, write_single_file
from mmcascade.runtime import Bundle, BundleError
from tests.support.bundles import numbered_images, write_bundle

CONFIDENCES = tuple(routing.CONFIDENCES)
DISAGREEMENT = ('neg_mutual_information', 'neg_variation_ratio', 'agreement')
WINDOWS = {
    'max_prob': [0.4, 0.8],
    'prob_gap': [0.1, 0.6],
    'neg_entropy': [-1.0, -0.6],
    'logit_gap': [0.2, 1.5],
    'energy': [0.5, 2.5],
    'max_logit': [0.3, 2.0],
    'neg_mutual_information': [-0.5, 0.0],
    'neg_variation_ratio': [-0.7, 0.0],
    'agreement': [0.4, 1.0],
}


def scores(stages=3, count=40, broken=True):
    rng = np.random.default_rng(1)
    made = [rng.normal(size=(count, 4)).astype(np.float32) * 2 for _ in range(stages)]
    if broken:
        made[0][3] = np.nan
        made[1][3:5] = np.inf
        made[0][7, 2] = -np.inf
        for values in made:
            values[9] = np.nan
    return made


def views(folder, count):
    bundle = Bundle(folder)
    pixels = np.stack([bundle.manifest.views[0](image) for image in numbered_images(count)])
    return bundle, pixels


def run_onnxruntime(model, inputs):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    return session.run(['probabilities', 'confidence', 'exit_stage'], inputs)


def run_openvino(model, inputs):
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(model.SerializeToString(), b''), 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'}
    )
    outcome = compiled(inputs)
    return [outcome[name] for name in ('probabilities', 'confidence', 'exit_stage')]


@pytest.mark.parametrize('fusion', ['prob', 'logit', 'replace'])
@pytest.mark.parametrize('confidence', CONFIDENCES)
def test_decides_as_the_bundle(tmp_path, confidence, fusion):
    window = WINDOWS[confidence]
    second = [None, (window[0] + window[1]) / 2] if confidence in DISAGREEMENT else [window[0], None]
    policy = {'type': 'window', 'windows': [window, second]}
    folder = write_bundle(tmp_path, scores(), confidence=confidence, fusion=fusion, policy=policy, accept=None)
    bundle, pixels = views(folder, 40)
    with np.errstate(all='ignore'):
        decisions = bundle.decide(numbered_images(40))
    inputs = {'view0': pixels, 'bounds': bounds_of(bundle.manifest.policy, 2)}
    probs, score, exits = run_onnxruntime(single_file(bundle.manifest, folder), inputs)
    assert exits.tolist() == [d.exit_stage for d in decisions]
    assert len(set(exits.tolist())) > 1
    np.testing.assert_allclose(probs, [d.probabilities for d in decisions], atol=1e-6)
    np.testing.assert_allclose(score, [d.confidence for d in decisions], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    'policy',
    [
        {'type': 'window', 'windows': [None, [0.1, 0.9]]},
        {'type': 'window', 'windows': [[None, None], None]},
        {'type': 'window', 'windows': [[2.0, 3.0], [0.1, 0.9]]},
        {'type': 'threshold', 'thresholds': [0.7, 1.0]},
    ],
)
@pytest.mark.parametrize('run', [run_onnxruntime, run_openvino])
def test_closed_open_and_empty_gaps(tmp_path, policy, run):
    folder = write_bundle(tmp_path, scores(broken=False), policy=policy, accept=None)
    bundle, pixels = views(folder, 40)
    inputs = {'view0': pixels, 'bounds': bounds_of(bundle.manifest.policy, 2)}
    decisions = bundle.decide(numbered_images(40))
    _, score, exits = run(single_file(bundle.manifest, folder), inputs)
    assert exits.tolist() == [d.exit_stage for d in decisions]
    np.testing.assert_allclose(score, [d.confidence for d in decisions], atol=1e-6)


def test_later_members_run_on_survivors_only(tmp_path):
    """The second member would fail on every image but the survivors': its table ends behind theirs."""
    first = np.log(np.array([[0.5, 0.5], [0.9, 0.1], [0.9, 0.1]], np.float32))
    folder = write_bundle(tmp_path, [first, first[:1]], policy={'type': 'window', 'windows': [[None, 0.6]]})
    bundle, pixels = views(folder, 3)
    bounds = bounds_of(bundle.manifest.policy, 1)
    _, _, exits = run_onnxruntime(single_file(bundle.manifest, folder), {'view0': pixels, 'bounds': bounds})
    assert exits.tolist() == [1, 0, 0]


def test_it_is_written_beside_the_bundle_once_it_agrees(tmp_path, monkeypatch):
    policy = {'type': 'window', 'windows': [[0.4, 0.8], [0.4, None]]}
    folder = write_bundle(tmp_path / 'b', scores(broken=False), policy=policy, accept=None)
    images = numbered_images(40)
    assert write_single_file(Bundle(folder), images) < 1e-5
    assert (folder / 'cascade.onnx').is_file()
    (folder / 'cascade.onnx').unlink()
    bounds = bounds_of(Bundle(folder).manifest.policy, 2)
    monkeypatch.setattr('mmcascade.models.export.one_graph.single_file.bounds_of', lambda *_: bounds + 0.1)
    with pytest.raises(BundleError, match='decides otherwise on image'):
        write_single_file(Bundle(folder), images)
    assert not (folder / 'cascade.onnx').exists()


def test_one_stage_has_no_bounds(tmp_path):
    folder = write_bundle(tmp_path, scores(1, broken=False), policy={'type': 'window', 'windows': []})
    bundle, pixels = views(folder, 40)
    model = single_file(bundle.manifest, folder)
    assert [given.name for given in model.graph.input] == ['view0']
    assert run_onnxruntime(model, {'view0': pixels})[2].tolist() == [0] * 40


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(policy={'type': 'random', 'rates': [0.5, 0.5], 'seed': 1}), 'no bounds'),
        (dict(maps=[{'scores': [0.1], 'values': [0.5]}, None, None]), 'maps them'),
    ],
)
def test_what_a_single_file_cannot_hold(tmp_path, changes, words):
    options = dict(policy={'type': 'window', 'windows': [[0, 1], [0, 1]]}) | changes
    folder = write_bundle(tmp_path, scores(), **options)
    with pytest.raises(ValueError, match=words):
        single_file(Bundle(folder).manifest, folder)
