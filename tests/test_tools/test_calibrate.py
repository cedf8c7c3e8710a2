# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""tools/calibrate.py from config to deployed thresholds."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.fit.thresholds.operating_point import place_tau, quantile_window
from mmcascade.calibration.stores.score_store import ScoreStore, StoreError
from mmcascade.engine.runs.prepare_store import prepare_store
from mmcascade.registry import MODELS
from tests.support import ROOT
from tests.support.members.tiny_models import CLASSES, tiny
from tests.support.projects.tiny_project import make_split_project
from tests.support.references.loop_cascade import loop_cascade
from tests.support.stored.calibrating import fit_store

N = 90


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """The first images for calibration and the last for testing, with labels worth learning."""
    root = tmp_path_factory.mktemp('calibrated') / 'here'
    config = make_split_project(root, calibration=N, test=10)
    rows = [f'{i:03d}.png {label}\n' for i, label in enumerate(predicted_labels(config))]
    (root / 'calibration.txt').write_text(''.join(rows[:N]))
    (root / 'labels.txt').write_text(''.join(rows[N:]))
    return config


def predicted_labels(config):
    """The small member's prediction, with every fourth replaced by another class."""
    from mmcv.transforms import Compose
    from mmengine.registry import init_default_scope
    from mmpretrain.registry import TRANSFORMS

    init_default_scope('mmpretrain')
    pipeline = Compose([TRANSFORMS.build(t) for t in Config.fromfile(config).test_pipeline])
    model = tiny('resnet', 0)
    batch = torch.stack(
        [pipeline(dict(img_path=str(p), gt_label=0))['inputs'][0] for p in sorted((config.parent / 'images').iterdir())]
    )
    with torch.no_grad():
        label = model(model.data_preprocessor(dict(inputs=batch))['inputs']).argmax(1)
    flip = torch.arange(len(label)) % 4 == 0
    return ((label + flip) % CLASSES).tolist()


def test_file_equals_an_independent_fit_and_deploys(project, run_tool, tmp_path):
    asked = ('--target', 'coverage=0.6', '--half-width', '0.2', '--temperatures', 'none')
    run_tool(ROOT / 'tools' / 'calibrate.py', project, 'out/c.json', *asked)
    written = json.loads((tmp_path / 'out' / 'c.json').read_text())
    store = ScoreStore.open(tmp_path / 'out' / 'c.store')
    assert (tmp_path / 'out' / 'c.png').stat().st_size > 10_000
    logits = [np.asarray(scores) for scores in store.scores]
    labels = np.asarray(store.labels)
    first = loop_cascade(logits[:1], [])
    confidence = np.array([r['confidence'] for r in first], dtype=float)
    tau = place_tau(confidence, np.array([r['label'] for r in first]) != labels, 'coverage=0.6')
    assert written['tau'] == [tau]
    assert written['windows'] == [list(quantile_window(confidence, tau, 0.2))]
    cascade = loop_cascade(logits, [tuple(written['windows'][0])], macs=store.macs[0].tolist())
    judged = np.array([r['confidence'] for r in cascade], dtype=float)
    assert (judged >= written['accept']).mean() >= 0.6
    assert (judged > judged[judged >= written['accept']].min()).mean() < 0.6
    assert written['accept'] not in judged
    measured = written['measured']
    wrong = np.array([r['label'] for r in cascade]) != labels
    assert measured['accuracy'] == pytest.approx(1 - wrong.mean())
    assert measured['macs'] == pytest.approx(np.mean([r['macs'] for r in cascade]))
    assert measured['reached'] == [1.0, pytest.approx(np.mean([r['exit_stage'] for r in cascade]))]
    assert measured['coverage'] == pytest.approx((judged >= written['accept']).mean())
    assert measured['risk'] == pytest.approx(wrong[judged >= written['accept']].mean())
    assert 0 < measured['reached'][1] < 1

    run_tool(ROOT / 'tools' / 'test.py', project, '--cfg-options', 'model.calibration=out/c.json', '--out', 'm.json')
    metrics = json.loads((tmp_path / 'm.json').read_text())
    assert 'selective/deployed_coverage' in metrics


def arrays(store):
    return *store.scores, store.macs, store.labels


def test_an_interrupted_run_continues(project, tmp_path):
    cfg = Config.fromfile(project)

    class Stop(Exception):
        pass

    def stop_after(count):
        def progress(done, total):
            assert total == N
            if done >= count:
                raise Stop

        return progress

    whole, identity = prepare_store(cfg, tmp_path / 'whole')
    for count in (4, 12, 40):
        with pytest.raises(Stop):
            prepare_store(cfg, tmp_path / 'pieces', progress=stop_after(count))
    seen = []
    pieces, _ = prepare_store(cfg, tmp_path / 'pieces', progress=lambda done, _: seen.append(done))
    assert seen[0] == 40
    for a, b in zip(arrays(whole), arrays(pieces), strict=True):
        np.testing.assert_array_equal(a, b)
    a, b = (fit_store(s, identity, 'coverage=0.5') for s in (whole, pieces))
    assert a == b
    untouched = []
    prepare_store(cfg, tmp_path / 'pieces', progress=lambda done, total: untouched.append((done, total)))
    assert untouched == [(N, N)]


def test_a_store_of_other_data_members_or_views_is_refused(project, tmp_path):
    cfg = Config.fromfile(project)
    prepare_store(cfg, tmp_path / 'store')
    other = Config.fromfile(project)
    other.model.members.small.checkpoint = None
    other.model.members.small.model = tiny('resnet', 4)
    with pytest.raises(StoreError, match='in its members'):
        prepare_store(other, tmp_path / 'store')
    other = Config.fromfile(project)
    other.val_dataloader.dataset.pipeline[1].transforms[0][0].scale = 36
    with pytest.raises(StoreError, match='in its preprocessing'):
        prepare_store(other, tmp_path / 'store')
    other = Config.fromfile(project)
    other.val_dataloader.dataset.indices = 50
    with pytest.raises(StoreError, match='in its data'):
        prepare_store(other, tmp_path / 'store')


def test_a_member_without_weights_is_not_calibrated(project, tmp_path):
    cfg = Config.fromfile(project)
    del cfg.model.members.large['checkpoint']
    with pytest.raises(RuntimeError, match=r"no weights were loaded for member\(s\) \['large'\]"):
        prepare_store(cfg, tmp_path / 'store')
    assert not (tmp_path / 'store').exists()


@pytest.mark.filterwarnings('ignore:member.s. ..large.. are loaded')  # one of the cascades has one stage
def test_thresholds_belong_to_their_cascade(project, tmp_path):
    cfg = Config.fromfile(project)
    store, identity = prepare_store(cfg, tmp_path / 'store')
    path = tmp_path / 'c.json'
    fit_store(store, identity, 'coverage=0.5').save(path)

    def build(**changes):
        config = Config.fromfile(project).model
        config.calibration = str(path)
        config.update(changes)
        return MODELS.build(config)

    model = build()
    assert model.accept == Calibration.load(path).accept
    batch = dict(inputs=[torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.zeros(2, 3, 40, 40, dtype=torch.uint8)])
    model.test_step(batch)
    with (
        pytest.warns(UserWarning, match='calibrated in float32 and this test runs in bfloat16'),
        torch.autocast('cpu', dtype=torch.bfloat16),
    ):
        build().test_step(batch)
    for changes, message in (
        (dict(fusion='logit'), "fusion was 'prob' and is 'logit'"),
        (dict(confidence='neg_entropy'), "confidence was 'max_prob' and is 'neg_entropy'"),
        (dict(stages=[dict(member='small'), dict(member='large')]), 'stage 1 was member .large. on view 1'),
        (dict(stages=[dict(member='small')]), 'there were 2 stages and there are 1'),
        (dict(policy=dict(type='mmcascade.WindowPolicy', windows=[None])), 'leave policy= and accept='),
        (dict(accept=0.5), 'leave policy= and accept='),
        (dict(stages=[dict(member='small', temperature=2.0), dict(member='large', view=1)]), 'leave temperature= out'),
    ):
        with pytest.raises(ValueError, match=message):
            build(**changes)
    with torch.no_grad():
        changed = build()
        next(changed.members['small'].parameters()).add_(1e-3)
    with pytest.raises(ValueError, match="weights of member 'small' of stage 0 have changed"):
        changed.test_step(batch)


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(val_dataloader=None), 'no val_dataloader'),
        (lambda cfg: dict(val_dataloader=cfg.test_dataloader), '10 of the 10 calibration images are also test images'),
        (lambda cfg: dict(model=cfg.small), 'only a mmcascade.WindowCascadeClassifier or a mmcascade.CascadeSegmentor'),
    ],
)
def test_bad_configs(project, tmp_path, change, message):
    cfg = Config.fromfile(project)
    cfg.update(change(cfg) if callable(change) else change)
    with pytest.raises(ValueError, match=message):
        prepare_store(cfg, tmp_path / 'store')


def test_bad_targets_are_refused_before_the_long_run(project, run_tool, tmp_path):
    done = run_tool(ROOT / 'tools' / 'calibrate.py', project, 'c.json', '--target', 'risk=1.5', ok=False)
    assert done.stderr.splitlines()[-1].startswith('error: ')
    assert '1.5' in done.stderr.splitlines()[-1]
    assert not (tmp_path / 'c.store').exists()


def test_rules_need_enough_units(project, tmp_path):
    store, identity = prepare_store(Config.fromfile(project), tmp_path / 'store')
    with pytest.raises(ValueError, match='500'):
        fit_store(store, identity, 'risk=0.05', rule='paper')
