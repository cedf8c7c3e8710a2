# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One command gives what three commands and a config by hand give."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS

from mmcascade._system.locks import BusyError, alone
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.comparison.build.build import build
from mmcascade.comparison.build.config import Loading
from mmcascade.comparison.build.report import show
from mmcascade.comparison.build.request import BuildRequest
from mmcascade.comparison.build.segmentation.build import build_segmentor
from mmcascade.comparison.build.segmentation.request import SegBuildRequest
from mmcascade.comparison.build.words import named_members
from mmcascade.engine.configs.testing import EvalFlags
from mmcascade.engine.runs.calibration import run_calibration
from mmcascade.engine.runs.report import write_report
from mmcascade.engine.runs.testing import run_test
from tests.support.projects.labelled_folder import write_images, write_members
from tests.support.projects.tiny_project import NAMES

REQUEST = CalibrationRequest('risk=0.7', half_width=0.2)
#: What a user writes by hand, as the guide to a first cascade says it.
BY_HAND = """
resize = dict(type='Resize', interpolation='bilinear')
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiView', num_views=[1, 1], transforms=[[dict(scale=40, **resize)], [dict(scale=32, **resize)]]),
    dict(type='PackInputs')]
default_scope = 'mmpretrain'
model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        cheap=dict(model='{root}/cheap.py', checkpoint='{root}/cheap.pth'),
        dear=dict(model='{root}/dear.py', checkpoint='{root}/dear.pth')),
    stages=[dict(member='cheap', view=0), dict(member='dear', view=1)])
photos = dict(type='CustomDataset', data_root='{root}/photos', pipeline=pipeline)
split = dict(type='mmcascade.CalibrationSplit', fraction=0.5, dataset=photos)
loader = dict(batch_size=8, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
val_dataloader = dict(dataset=dict(part='calibration', **split), **loader)
test_dataloader = dict(dataset=dict(part='rest', **split), **loader)
val_cfg = test_cfg = dict()
val_evaluator = test_evaluator = [dict(type='Accuracy'), dict(type='mmcascade.CascadeCost')]
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('build')
    write_images(root)
    return root


@pytest.fixture(scope='module')
def words(folder):
    return tuple(write_members(folder))


@pytest.fixture(scope='module')
def built(folder, words):
    said = []
    made = build(BuildRequest(words, str(folder / 'photos'), folder / 'out', REQUEST, Loading(8)), said.append)
    assert said == [f'{folder}/out/cascade.py: cheap -> dear, cheap first']
    return made


def test_the_windows_are_those_of_the_commands_by_hand(built, folder, words):
    (folder / 'by_hand.py').write_text(BY_HAND.format(root=folder))
    by_hand = run_calibration(Config.fromfile(folder / 'by_hand.py'), REQUEST, folder / 'by_hand.json').calibration
    assert built.calibration.windows == by_hand.windows and built.calibration.accept == by_hand.accept
    assert 0 < by_hand.measured['reached'][1] < 1


def test_the_table_says_what_a_test_of_the_config_measures(built):
    config = Config.fromfile(built.config)
    tested = run_test(config, EvalFlags(str(built.config), work_dir=str(built.config.parent / 'test')))
    cascade = built.standings['cascade']
    assert tested.metrics['accuracy/top1'] == pytest.approx(100 * cascade.accuracy.estimate)
    assert tested.metrics['cost/macs'] == pytest.approx(cascade.cost / 1e9)
    coverage, risk = built.deployed
    assert tested.metrics['selective/deployed_coverage'] == pytest.approx(100 * coverage)
    assert tested.metrics['selective/deployed_risk'] == pytest.approx(100 * risk)


def test_what_is_written_and_printed(built, capsys):
    results = json.loads((built.config.parent / 'results.json').read_text())
    assert list(results['systems']) == ['cheap', 'dear', 'ensemble', 'cascade'] and results['schema'] == 1
    ensemble, dear, cheap = (results['systems'][name]['macs'] for name in ('ensemble', 'dear', 'cheap'))
    assert ensemble == pytest.approx(dear + cheap) and cheap < dear
    show(built)
    printed = capsys.readouterr().out
    assert max(map(len, printed.replace(str(built.config.parent), '').splitlines())) <= 80
    assert ' '.join(built.verdict.split()) in ' '.join(printed.split())
    far = Path('a-long-name/' * 10, 'cascade.py')
    show(replace(built, config=far))
    assert str(far) in capsys.readouterr().out


def test_it_runs_nothing_again(built, folder, words, monkeypatch):
    def fail(*_):
        raise AssertionError('a member ran again')

    monkeypatch.setattr('mmcascade.engine.runs.filling.score_filler._run', fail)
    request = BuildRequest(words, str(folder / 'photos'), folder / 'out', REQUEST, Loading(8))
    assert build(request, print).calibration.windows == built.calibration.windows


def test_networks_of_timm_and_a_list(folder, tmp_path):
    networks = []
    for seed in range(2):
        torch.manual_seed(seed)
        network = timm.create_model('test_resnet', num_classes=len(NAMES))
        torch.save(network.state_dict(), tmp_path / f'{seed}.pth')
        networks += ['timm/test_resnet', str(tmp_path / f'{seed}.pth')]
    files = sorted((folder / 'photos').rglob('*.png'))
    lines = [f'{file.relative_to(folder)},{file.parent.name}\n' for file in files]
    (folder / 'list.csv').write_text('image,label\n' + ''.join(lines))
    made = build(
        BuildRequest(tuple(networks), str(folder / 'list.csv'), tmp_path / 'out', CalibrationRequest('macs=2e8')),
        lambda line: None,
    )
    config = Config.fromfile(made.config)
    assert made.members == ['test_resnet', 'test_resnet_2']
    assert [stage.view for stage in config.model.stages] == [0, 0]  # one view, made once
    steps = config.test_dataloader.dataset.dataset.pipeline
    assert [step.type for step in steps] == ['LoadImageFromFile', 'mmcascade.ViewSteps', 'PackInputs']
    assert config.model.members.test_resnet.classes == sorted(NAMES)  # which the weights do not name
    assert made.deployed is None and made.standings.units == 30


def test_numbers_in_a_list_get_the_names_that_the_members_know(folder, words, tmp_path):
    files = sorted((folder / 'photos').rglob('*.png'))
    lines = [f'{file.relative_to(folder)},{sorted(NAMES).index(file.parent.name)}\n' for file in files]
    (folder / 'numbers.csv').write_text(''.join(lines))
    request = BuildRequest(words, str(folder / 'numbers.csv'), tmp_path / 'out', REQUEST, Loading(8))
    config = Config.fromfile(build(request, lambda line: None).config)
    assert config.test_dataloader.dataset.dataset.metainfo.classes == list(sorted(NAMES))


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(words=('timm/resnet18',)), 'two members or more, got 1'),
        (dict(words=('{0}', '{2}', '{3}')), 'is a config without a checkpoint'),
        (dict(words=('{1}', '{0}')), 'is a checkpoint and follows no model'),
        (dict(words=('{0}', '{root}/daer.pth', '{2}', '{3}')), "no checkpoint .*daer.pth'; in .* cheap.pth"),
        (dict(words=('timm/resnt18', 'timm/resnet50')), 'close names are resnet18'),
        (dict(data='{root}/nowhere'), 'there is no folder or list of images'),
        (dict(data='{root}/photos/ant'), 'has no folder per class'),
        (dict(data='{root}/wrong.csv'), 'do not know the class .fly. of the list; theirs are ant, bee'),
        (dict(data='{root}/lost.csv'), '1 of its 2 images are not there, such as photos/lost.png'),
        (dict(out='{root}/photos'), 'is not empty and holds no cascade.py'),
        (dict(calibration=CalibrationRequest('miou=0.5')), 'is a target of segmentation cascades'),
        (dict(loading=Loading(fraction=0.001)), 'fraction=0.001 leaves one part'),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_anything_runs(folder, words, tmp_path, change, message, monkeypatch):
    image = next((folder / 'photos' / 'ant').iterdir()).relative_to(folder)
    (folder / 'wrong.csv').write_text(f'{image},ant\n{image},fly\n')
    (folder / 'lost.csv').write_text(f'{image},ant\nphotos/lost.png,bee\n')
    monkeypatch.setattr('mmcascade.engine.runs.filling.score_filler.ScoreFiller', None)

    def filled(value):
        if isinstance(value, tuple):
            return tuple(map(filled, value))
        return value.format(*words, root=folder) if isinstance(value, str) else value

    options = dict(words=words, data=str(folder / 'photos'), out=tmp_path / 'out', calibration=REQUEST)
    options |= {key: filled(value) for key, value in change.items()}
    options['out'] = type(tmp_path)(options['out'])
    with pytest.raises((ValueError, OSError), match=message):
        build(BuildRequest(**options), lambda line: None)


@pytest.mark.slow
def test_a_class_with_one_image_is_told_and_stays(folder, words, tmp_path):
    shutil.copytree(folder / 'photos', tmp_path / 'photos')
    first, *others = sorted((tmp_path / 'photos' / NAMES[2]).iterdir())
    for image in others:
        image.unlink()
    said = []
    asked = CalibrationRequest('coverage=0.5')
    request = BuildRequest(words, str(tmp_path / 'photos'), tmp_path / 'out', asked, Loading(8))
    made = build(request, said.append)
    assert said[0] == f'{NAMES[2]} has too few images for a calibration and a report part, so it is in one of them only'
    config = Config.fromfile(made.config)
    parts = [DATASETS.build(config[f'{part}_dataloader'].dataset) for part in ('val', 'test')]
    assert sum(len(part) for part in parts) == 60 - len(others) and parts[1].rare_classes == [2]
    there = [part.get_data_info(index)['img_path'] for part in parts for index in range(len(part))]
    assert there.count(str(first)) == 1
    # No risk of the sliders can be reached by such members, which their page says.
    assert 'cannot be reached' in (tmp_path / 'out' / 'report.html').read_text()


@pytest.mark.parametrize('made, asked', [(build, BuildRequest), (build_segmentor, SegBuildRequest)])
def test_two_builds_of_one_folder_do_not_meet(tmp_path, made, asked):
    with alone(tmp_path / 'out'), pytest.raises(BusyError, match=r'pid \d+ on .* is building .*out; wait for it'):
        made(asked(('a', 'b'), 'photos', tmp_path / 'out', REQUEST))
    assert not list(tmp_path.iterdir())


def test_another_build_in_the_same_folder_is_refused_and_leaves_it(folder, words, built):
    before = {file: file.read_bytes() for file in (folder / 'out').iterdir() if file.is_file()}
    other = (*words[:2], *words[:2])
    request = BuildRequest(other, str(folder / 'photos'), folder / 'out', REQUEST, Loading(8))
    with pytest.raises(ValueError, match='holds an earlier build with other members.*; name another folder with --out'):
        build(request, lambda line: None)
    assert {file: file.read_bytes() for file in before} == before


def test_names_are_told_apart(folder, words):
    found = named_members([*words, *words[:2], 'torchvision/resnet18', 'zoo'])
    assert [member.name for member in found] == ['dear', 'cheap', 'dear_2', 'resnet18']
    assert found[3].checkpoint == 'zoo'


def test_the_page_tells_the_same(built):
    from mmcascade.engine.runs.report import section_of
    from mmcascade.visualization.report.runs import calibrated_runs

    (run,) = calibrated_runs(built.config.parent)
    section = section_of(run)
    results = json.loads((built.config.parent / 'results.json').read_text())
    assert section.verdict == built.verdict == results['verdict']
    table = {row[0]: row[1:] for row in section.table.texts()}
    for name, system in results['systems'].items():
        assert table[name][0].startswith(f'{100 * system["accuracy"]["estimate"]:.1f} (')
        assert table[name][1].startswith(f'{100 * system["quality"]["estimate"]:.1f} (')
    assert section.try_it.exact
    coverage, risk = built.deployed
    assert section.try_it.shown['text']['coverage'] == f'{100 * coverage:.2f} %'
    assert section.try_it.shown['text']['risk'] == f'{100 * risk:.2f} %'
    assert {row.name for row in section.classes} <= set(NAMES)
    shown = [image for group in section.groups for image in group.shown]
    photos = built.config.parent.parent / 'photos'
    assert shown and all((photos / image.name).is_file() and image.picture for image in shown)
    assert all(image.truth in image.name for image in shown)  # its folder
    assert results['command'] in section.told.commands[0] and not section.told.notes
    assert (built.config.parent / 'report.html').read_text().startswith('<!DOCTYPE html>')


@pytest.mark.parametrize(
    'file, message',
    [
        ('report_scores/stage0.npy', r'report_scores is damaged: stage0.npy is not what was written'),
        ('calibration_scores/labels.npy', r'calibration_scores is damaged: labels.npy is not what was written'),
        ('results.json', r'results.json is no JSON'),
    ],
)
def test_a_page_of_damaged_files_is_refused(built, tmp_path, file, message):
    """It would show the images that the cascade was calibrated on, or other costs, and say nothing."""
    run = tmp_path / 'out'
    shutil.copytree(built.config.parent, run)
    content = bytearray((run / file).read_bytes())
    content[-20:] = bytes(20)
    (run / file).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        write_report([run], tmp_path / 'page.html')
    assert not (tmp_path / 'page.html').exists()
