# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade of classifiers decides as a loop over its members does, at the cost that a counter sees."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmcascade.routing import CONFIDENCES, FUSIONS, CachedStage, CascadeRouter, WindowPolicy
from tests.support.members.tiny_models import CLASSES, VIT_ARCH, images
from tests.support.references.loop_cascade import loop_cascade
from tests.test_models.test_classifier.cascades import STAGES, N, cascade, samples, step

DEVICES = ['cpu', pytest.param('cuda', marks=pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU'))]


@torch.no_grad()
def full_logits(members, stages, views):
    return [
        members[s['member']](members[s['member']].data_preprocessor(dict(inputs=views[s['view']]))['inputs']).numpy()
        for s in stages
    ]


def windows_away_from_scores(logits, confidence, fusion, generator):
    """Windows whose ends lie midway between two neighbouring scores, so that float noise cannot cross them."""
    windows = []
    for gap in range(len(logits) - 1):
        scores = np.sort(
            [r['confidence'] for r in loop_cascade(logits[: gap + 1], [(None, None)] * gap, confidence, fusion)]
        ).astype(float)
        gaps = np.diff(scores)
        wide = np.flatnonzero(gaps > 1e-4 * (1 + np.abs(scores[1:])))
        if len(wide) < 3:  # a single member agrees with itself on everything
            windows.append((None, None))
            continue
        low = generator.choice(wide[: len(wide) // 3])
        high = generator.choice(wide[len(wide) // 2 :])
        windows.append(tuple((scores[[low, high]] + scores[[low + 1, high + 1]]) / 2))
    return windows


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('fusion', FUSIONS)
@pytest.mark.parametrize('confidence', CONFIDENCES)
def test_routed_members_equal_the_loop(members, views, confidence, fusion, device):
    generator = np.random.default_rng(0)
    for count in (2, 3, 4):
        stages = STAGES[:count]
        logits = full_logits(members, stages, views)
        windows = windows_away_from_scores(logits, confidence, fusion, generator)
        model = cascade(members, stages, windows, confidence=confidence, fusion=fusion).to(device)
        seen = {name: 0 for name in model.members}
        hooks = [
            m.register_forward_pre_hook(
                lambda _, args, name=name, seen=seen: seen.update({name: seen[name] + len(args[0])})
            )
            for name, m in model.members.items()
        ]
        results = step(model, views)
        for hook in hooks:
            hook.remove()
        model.to('cpu')
        costs = [
            stage.macs_by_shape[tuple(views[stage.view].shape[1:])] if stage.macs_by_shape else 0.0
            for stage in model.stages
        ]
        expected = loop_cascade(logits, windows, confidence, fusion, costs)
        assert [r.exit_stage for r in results] == [e['exit_stage'] for e in expected]
        assert [int(r.pred_label) for r in results] == [e['label'] for e in expected]
        assert [r.macs for r in results] == [e['macs'] for e in expected]
        np.testing.assert_allclose(
            [r.confidence for r in results], [e['confidence'] for e in expected], rtol=1e-3, atol=1e-4
        )
        np.testing.assert_allclose(
            np.stack([r.pred_score for r in results]), np.stack([e['probs'] for e in expected]), rtol=1e-3, atol=1e-4
        )
        exits = np.array([e['exit_stage'] for e in expected])
        assert seen == {s['member']: int((exits >= k).sum()) for k, s in enumerate(stages)}
        replay = CascadeRouter(
            [CachedStage(torch.from_numpy(z), macs=c) for z, c in zip(logits, costs, strict=True)],
            WindowPolicy(windows),
            confidence,
            fusion,
        ).route([], range(N))
        np.testing.assert_array_equal(replay.exit_stage, exits)


@torch.no_grad()
def test_cached_stages_are_bit_equal_to_the_routed_run(members, views):
    """Row by row, so that the members' own batch-size noise stays out of the comparison."""
    stages = STAGES[:3]
    logits = [
        np.concatenate(rows)
        for rows in zip(*[full_logits(members, stages, [v[i : i + 1] for v in views]) for i in range(N)], strict=True)
    ]
    windows = windows_away_from_scores(logits, 'neg_entropy', 'prob', np.random.default_rng(1))
    model = cascade(members, [dict(s, batch_size=1) for s in stages], windows, confidence='neg_entropy')
    routed = step(model, views)
    replay = CascadeRouter(
        [CachedStage(torch.from_numpy(z)) for z in logits], WindowPolicy(windows), 'neg_entropy'
    ).route([], range(N))
    assert len(set(replay.exit_stage)) == 3
    assert torch.equal(torch.stack([r.pred_score for r in routed]), replay.probs)
    assert [r.confidence for r in routed] == replay.confidence.tolist()
    assert [r.exit_stage for r in routed] == replay.exit_stage.tolist()


def test_macs_equal_a_counter_around_the_whole_run(members, views):
    logits = full_logits(members, STAGES, views)
    model = cascade(members, STAGES, windows_away_from_scores(logits, 'max_prob', 'prob', np.random.default_rng(2)))
    for _ in range(2):  # with the stages' own count in the first run, and without it
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            results = step(model, views)
        assert sum(r.macs for r in results) == counter.get_total_flops() / 2


@pytest.mark.parametrize('size', [32, 64])
def test_vit_macs_equal_the_closed_form(members, size):
    model = cascade(members, [dict(member='vit')])
    (result,) = step(model, [images(1, size)])
    dims, ffn = VIT_ARCH['embed_dims'], VIT_ARCH['feedforward_channels']
    patches = (size // 8) ** 2
    tokens = patches + 1
    layer = tokens * dims * (4 * dims + 2 * ffn) + 2 * tokens * tokens * dims
    expected = patches * dims * 3 * 64 + VIT_ARCH['num_layers'] * layer + dims * CLASSES
    assert result.macs == expected


def test_everybody_on_is_plain_averaging_and_nobody_on_is_member_zero(members, views):
    stages = STAGES[:3]
    everybody = torch.stack([r.pred_score for r in step(cascade(members, stages, [(None, None)] * 2), views)])
    average = np.mean([torch.from_numpy(z).softmax(1).numpy() for z in full_logits(members, stages, views)], 0)
    np.testing.assert_allclose(everybody, average, rtol=1e-5, atol=1e-6)
    nobody = step(cascade(members, stages, [None, None]), views)
    own = members['resnet'].test_step(dict(inputs=views[0], data_samples=samples()))
    assert torch.equal(torch.stack([r.pred_score for r in nobody]), torch.stack([r.pred_score for r in own]))


def test_batch_sizes_split_and_results_stay(members, views):
    windows = windows_away_from_scores(
        full_logits(members, STAGES, views), 'max_prob', 'prob', np.random.default_rng(3)
    )
    whole = step(cascade(members, STAGES, windows), views)
    model = cascade(members, [dict(s, batch_size=5) for s in STAGES], windows)
    sizes = []
    model.members['resnet'].register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    split = step(model, views)
    model.members['resnet']._forward_pre_hooks.clear()
    assert sizes == [5, 5, 5, 5, 4]
    assert [r.exit_stage for r in split] == [r.exit_stage for r in whole]
    assert [r.macs for r in split] == [r.macs for r in whole]


def test_non_finite_logits_are_survived_and_reported(members, views):
    model = cascade(members, STAGES[:3], [(0.9999, None), (None, None)])

    def break_rows(module, args, output):
        output = output.clone()
        output[:2] = torch.nan
        return output

    handle = members['resnet'].head.fc.register_forward_hook(break_rows)
    try:
        results = step(model, views)
    finally:
        handle.remove()
    assert [r.finite_stages for r in results[:2]] == [2, 2]
    assert [r.exit_stage for r in results[:2]] == [2, 2]
    assert np.isfinite([r.confidence for r in results]).all()


def test_memory_does_not_grow_with_the_number_of_images(members):
    model = cascade(members, [dict(member='resnet', batch_size=4), dict(member='other', batch_size=4)], [(0.3, 0.7)])
    batch = [images(8)]
    for _ in range(20):
        step(model, batch)
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(60):
            step(model, batch)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 160 * 60 * 8
