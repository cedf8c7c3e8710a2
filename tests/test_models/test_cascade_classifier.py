# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Real members, routed, against the plain loop over their full logits."""

from __future__ import annotations

import copy
import gc
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict
from mmpretrain.structures import DataSample
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmcascade.models.stages.views import as_views
from mmcascade.registry import MODELS
from mmcascade.routing import CONFIDENCES, FUSIONS, CachedStage, CascadeRouter, Outcome, WindowPolicy
from tests.support.loop_cascade import loop_cascade
from tests.support.tiny_models import CLASSES, VIT_ARCH, images, tiny

SIZES = (32, 40, 32)
N = 24
DEVICES = ['cpu', pytest.param('cuda', marks=pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU'))]


@pytest.fixture(scope='module')
def members():
    return dict(resnet=tiny('resnet'), mobilenet=tiny('mobilenet', 1), vit=tiny('vit', 2), other=tiny('resnet', 3))


@pytest.fixture(scope='module')
def views():
    return [images(N, size, seed=7) for size in SIZES]


STAGES = [
    dict(member='resnet', view=0),
    dict(member='mobilenet', view=1),
    dict(member='vit', view=2),
    dict(member='other', view=1),
]


def cascade(members, stages, windows=None, **options):
    if windows is not None:
        options['policy'] = dict(type='mmcascade.WindowPolicy', windows=windows)
    used = {stage['member'] for stage in stages}
    return MODELS.build(
        dict(
            type='mmcascade.WindowCascadeClassifier',
            stages=stages,
            members={k: v for k, v in members.items() if k in used},
            **options,
        )
    )


def samples(n=N):
    return [DataSample(metainfo=dict(sample_idx=i)).set_gt_label(i % CLASSES) for i in range(n)]


def step(model, views, data_samples=None):
    return model.test_step(dict(inputs=list(views), data_samples=data_samples or samples(len(views[0]))))


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


def test_results_are_written_once_into_the_incoming_samples(members, views):
    accept = float(np.median([r.confidence for r in step(cascade(members, STAGES[:2], [(None, None)]), views)]))
    model = cascade(members, STAGES[:2], [(None, None)], accept=accept)
    given = samples()
    results = step(model, views, given)
    assert all(a is b for a, b in zip(results, given, strict=True))
    for sample in results:
        assert sample.gt_label is not None
        assert isinstance(sample.confidence, float)
        assert isinstance(sample.macs, float)
        assert isinstance(sample.exit_stage, int)
        assert sample.accepted == (sample.confidence >= accept)
        assert sample.confidence == sample.pred_score.max()
        assert sample.num_stages == 2
    assert 0 < sum(s.accepted for s in results) < N
    # Accept thresholds are scores of units, and who has that very score is accepted.
    worst, *_ = sorted(results, key=lambda sample: sample.confidence)
    at_the_bound = step(cascade(members, STAGES[:2], [(None, None)], accept=worst.confidence), views)
    assert all(sample.accepted for sample in at_the_bound)
    plain = step(cascade(members, STAGES[:1]), views)
    assert 'accepted' not in plain[0]


def test_results_are_read_from_one_copy_on_the_host(members, views, monkeypatch):
    model = cascade(members, STAGES[:2], [(None, None)], accept=0.5)
    here = model.router.route(views)
    away = replace(
        here,
        results={'probs': here.probs.to('meta')},
        confidence=here.confidence.to('meta'),
        finite_stages=here.finite_stages.to('meta'),
    )
    copies = []
    monkeypatch.setattr(Outcome, 'cpu', lambda self: copies.append(self) or here)
    written = samples()
    model.write_results(away, written)
    assert len(copies) == 1 and copies[0] is away
    assert torch.equal(torch.stack([sample.pred_score for sample in written]), here.probs)
    assert [sample.finite_stages for sample in written] == here.finite_stages.tolist()


def test_a_sample_can_be_pickled_without_its_batch(members, views):
    results = step(cascade(members, STAGES[:1]), views)
    assert results[0].pred_score.untyped_storage().nbytes() == 4 * CLASSES


def test_plain_modules_get_their_images_on_their_device(fake_cuda):
    with torch.device('cuda'):
        module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, CLASSES))
    model = MODELS.build(
        dict(type='mmcascade.WindowCascadeClassifier', members=dict(plain=module), stages=[dict(member='plain')])
    )
    assert model(torch.zeros(2, 3, 2, 2)).device.type == 'cuda'


def test_identity_sees_what_is_in_no_state_dict(members):
    stages = STAGES[:2]
    before = cascade(members, stages).identity()
    assert cascade(members, stages).identity() == before
    changed = copy.deepcopy(members)
    changed['resnet'].data_preprocessor.mean += 1
    assert cascade(changed, stages).identity() != before
    changed = copy.deepcopy(members)
    changed['resnet'].data_preprocessor.to_rgb = False
    assert cascade(changed, stages).identity() != before


def test_forward_modes(members, views):
    model = cascade(members, STAGES[:2], [(None, None)])
    results = model.val_step(dict(inputs=views, data_samples=samples()))
    scores = torch.stack([r.pred_score for r in results])
    torch.testing.assert_close(model(views).softmax(1), scores)
    assert torch.equal(torch.stack([r.pred_score for r in model(views, mode='predict')]), scores)
    with pytest.raises(RuntimeError, match='no loss.*trained one by one'):
        model(views, mode='loss')
    with pytest.raises(ValueError, match="unknown mode 'train'"):
        model(views, mode='train')
    assert model.test_step(dict(inputs=[v[:0] for v in views], data_samples=[])) == []


def test_views_in_every_form_that_collate_functions_make():
    view = images(3)
    for given in (view, [view], list(view), [list(view)], (view,)):
        assert [v.shape for v in as_views(given)] == [view.shape]
        assert torch.equal(as_views(given)[0], view)
    assert len(as_views([view, images(3, 40)])) == 2
    with pytest.raises(ValueError, match=r'different shapes \[\(3, 32, 32\), \(3, 40, 40\)\]'):
        as_views([images(1)[0], images(1, 40)[0]])


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


def test_autocast_gives_float32_scores(members, views):
    model = cascade(members, STAGES[:2], [(None, None)])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        results = step(model, views)
    assert results[0].pred_score.dtype == torch.float32
    values = np.array([r.confidence for r in results], dtype=np.float32)
    bits = values.view(np.uint32)
    assert (bits & 0xFFFF).any(), 'bfloat16 scores would have an empty lower half'


@pytest.fixture
def fresh_members(members):
    return copy.deepcopy(members)


def test_the_step_runs_on_fake_cuda(fresh_members, views, fake_cuda, monkeypatch):
    """Every tensor is where its partner is, on a machine without a GPU."""
    from mmcascade.routing import router

    model = cascade(fresh_members, STAGES, [(0.2, 0.9)] * 3).to('cuda')
    monkeypatch.setattr(router, 'rows_where', lambda mask: list(range(len(mask)))[1::2])
    inputs = [torch.empty(v.shape, dtype=v.dtype) for v in views]
    fused = model(inputs)
    assert fused.device.type == 'cuda'
    assert fused.shape == (N, CLASSES)
    outcomes = []
    monkeypatch.setattr(model, 'write_results', lambda outcome, samples: outcomes.append(outcome))
    model.test_step(dict(inputs=inputs))
    assert outcomes[0].confidence.device.type == outcomes[0].finite_stages.device.type == 'cuda'
    assert np.bincount(outcomes[0].exit_stage).tolist() == [12, 6, 3, 3]


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


class TestWeights:
    def test_state_dict_goes_round_also_for_wrapping_classifiers(self, members):
        given = dict(resnet=members['resnet'], timm=tiny('timm', 5))
        stages = [dict(member='resnet'), dict(member='timm')]
        first = cascade(given, stages, [(None, None)])
        other = cascade(dict(resnet=tiny('resnet', 8), timm=tiny('timm', 9)), stages, [(None, None)])
        batch = [images(2, 64)]
        before = torch.stack([r.pred_score for r in step(other, batch)])
        other.load_state_dict(first.state_dict())
        want, got = (torch.stack([r.pred_score for r in step(m, batch)]) for m in (first, other))
        assert torch.equal(want, got)
        assert not torch.equal(before, got)

    @pytest.mark.parametrize('load', [lambda m, s: m.load_state_dict(s, strict=False), load_state_dict])
    def test_a_members_checkpoint_is_not_a_cascades(self, members, load):
        model = cascade(members, STAGES[:2], [(None, None)])
        with pytest.raises(RuntimeError, match='(?s)does not fit this cascade:.*missing.*bundle_checkpoint'):
            load(model, members['resnet'].state_dict())
        state = model.state_dict()
        state.pop('members.mobilenet.backbone.conv1.conv.weight')
        with pytest.raises(RuntimeError, match='1 missing from it: members.mobilenet.backbone.conv1.conv.weight'):
            load(model, state)
        state = model.state_dict()
        state['members.resnet.head.fc.bias'] = torch.zeros(3)
        state['members.extra.weight'] = torch.zeros(1)
        with pytest.raises(
            RuntimeError,
            match=r'(?s)unknown to the model: members.extra.weight.*'
            r'members.resnet.head.fc.bias of shape \[3\] instead of \[5\]',
        ):
            load(model, state)

    @pytest.mark.parametrize('load', [lambda m, s: m.load_state_dict(s), load_state_dict])
    def test_unloaded_members_refuse_to_test_until_a_bundle_comes(self, members, views, load):
        from tests.support.tiny_models import TINY

        model = cascade(
            dict(resnet=dict(model=TINY['resnet']), mobilenet=members['mobilenet']), STAGES[:2], [(None, None)]
        )
        with pytest.raises(RuntimeError, match=r"no weights were loaded for member\(s\) \['resnet'\].*checkpoint="):
            step(model, views)
        model.init_weights()
        whole = cascade(members, STAGES[:2], [(None, None)])
        load(model, whole.state_dict())
        assert torch.equal(
            torch.stack([r.pred_score for r in step(model, views)]),
            torch.stack([r.pred_score for r in step(whole, views)]),
        )


RESNET = [dict(member='resnet')]


@pytest.mark.parametrize(
    'stages, options, message',
    [
        ([dict(member='resnett')], {}, r"stage 0 names member 'resnett'; expected one of \['resnet'\]"),
        ([dict(view=0)], {}, 'stage 0 names member None'),
        ([dict(member='resnet', view=-1)], {}, 'view of stage 0 is a view index >= 0, got -1'),
        (
            [dict(member='resnet', batch_size=0)],
            {},
            "batch_size of stage 0 is a whole number >= 1, 'auto' or None, got 0",
        ),
        ([dict(member='resnet', temperature=0)], {}, 'temperature of stage 0 is a number > 0, got 0'),
        ([dict(member='resnet', macs=-1.0)], {}, 'macs of stage 0'),
        ([dict(member='resnet', scale=2)], {}, "stage 0 has the unknown key 'scale'"),
        (RESNET * 3, dict(windows=[(0, 1)]), '3 stages have 2 gaps.*decides 1'),
        (RESNET * 2, dict(windows=[(0.5, 0.1)]), 'low > high'),
        (RESNET * 2, dict(windows=[(float('nan'), 1)]), 'got nan'),
        (RESNET, dict(accept='0.5'), "accept is the lowest confidence.*got '0.5'"),
        (RESNET, dict(accept=float('nan')), 'got nan'),
        (RESNET, dict(accept=-float('inf')), 'finite number or None, got -inf'),
        (RESNET, dict(confidence='softmax'), "unknown confidence 'softmax'"),
        (RESNET, dict(fusion='sum'), "unknown fusion 'sum'"),
        ([], {}, 'at least one stage'),
    ],
)
def test_bad_configs_are_refused_at_build_time(members, stages, options, message):
    options = dict(options)
    windows = options.pop('windows', None)
    if windows is not None:
        options['policy'] = dict(type='mmcascade.WindowPolicy', windows=windows)
    with pytest.raises(ValueError, match=message):
        MODELS.build(
            dict(
                type='mmcascade.WindowCascadeClassifier',
                stages=stages,
                members=dict(resnet=members['resnet']),
                **options,
            )
        )


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(policy=[(0.2, 0.4)]), r'policy is a config such as.*got \[\(0.2, 0.4\)\]'),
        (dict(stages=dict(member='resnet')), 'stages is a list such as'),
        (dict(stages=['resnet']), "stage 0 is a dict such as.*got 'resnet'"),
        (dict(members=['resnet']), r"members is a dict of name.*got \['resnet'\]"),
    ],
)
def test_wrong_types_are_named(members, options, message):
    config = dict(type='mmcascade.WindowCascadeClassifier', stages=RESNET, members=dict(resnet=members['resnet']))
    with pytest.raises(TypeError, match=message):
        MODELS.build({**config, **options})


def test_numpy_numbers_are_numbers(members, views):
    model = cascade(members, RESNET * 2, np.array([[0.2, 0.4]], dtype=np.float32).tolist(), accept=np.float32(0.5))
    assert model.accept == 0.5
    WindowPolicy([(np.float32(0.2), np.float64(0.4))])


def test_bad_members_are_refused_at_build_time(members):
    with pytest.raises(ValueError, match="member 'resnet' is a dict with model="):
        cascade(dict(resnet=dict(checkpoint='x.pth')), RESNET)
    with pytest.warns(UserWarning, match=r"\['vit'\] are loaded but no stage uses them"):
        MODELS.build(
            dict(
                type='mmcascade.WindowCascadeClassifier',
                stages=RESNET,
                members=dict(resnet=members['resnet'], vit=members['vit']),
            )
        )


def test_without_a_policy_it_builds_and_refuses_to_test(members, views):
    model = cascade(members, STAGES[:3])
    with pytest.raises(RuntimeError, match=r'no exit policy.*2 window\(s\)'):
        step(model, views)


def test_missing_view(members, views):
    model = cascade(members, STAGES[:2], [None])
    with pytest.raises(ValueError, match='stage 1 reads view 1, but the pipeline makes 1'):
        step(model, views[:1])


def test_random_policy_needs_the_index_of_each_image(members, views):
    model = cascade(members, STAGES[:2], policy=dict(type='mmcascade.RandomPolicy', rates=[0.5]))
    assert len({r.exit_stage for r in step(model, views)}) == 2
    with pytest.raises(ValueError, match="RandomPolicy.*no 'sample_idx'"):
        step(model, views, [DataSample() for _ in range(N)])
    with pytest.raises(ValueError, match="no 'sample_idx'"):
        model(views)
