# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A build, its config and its members on the same images."""

from __future__ import annotations

import json

import pytest

from mmcascade.__main__ import main
from mmcascade.comparison.side_by_side.systems import open_systems
from mmcascade.engine.runs.report import _compared
from mmcascade.visualization.report.compared import Judgements
from tests.support.projects import tiny_seg_project
from tests.support.projects.labelled_folder import write_images, write_members


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('compare')
    photos = write_images(root)
    words = write_members(root)
    main(['build', *words, '--data', str(photos), '--target', 'risk=0.7', '--out', str(root / 'built')])
    return root


@pytest.mark.slow
def test_the_figures_of_a_build_are_found_again(folder, tmp_path, capsys):
    """On the report part, listed: what the build replayed from its store is what the systems decide."""
    from mmengine.config import Config
    from mmengine.registry import DATASETS, init_default_scope

    init_default_scope('mmpretrain')
    report = DATASETS.build(Config.fromfile(folder / 'built' / 'cascade.py').test_dataloader.dataset)
    infos = [report.get_data_info(index) for index in range(len(report))]
    (folder / 'report.txt').write_text(''.join(f'{info["img_path"]} {info["gt_label"]}\n' for info in infos))
    words = [str(folder / name) for name in ('built', 'cheap.py', 'cheap.pth', 'dear.py', 'dear.pth')]
    main(['compare', *words, '--data', str(folder / 'report.txt'), '--target', 'risk=0.7', '--out', str(tmp_path)])
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / 'comparison.json').read_text())
    expected = json.loads((folder / 'built' / 'results.json').read_text())
    assert list(found['systems']) == ['built', 'cheap', 'dear'] and found['reference'] == 'dear'
    for name, other in (('built', 'cascade'), ('cheap', 'cheap'), ('dear', 'dear')):
        for key in ('accuracy', 'quality'):
            assert found['systems'][name][key] == pytest.approx(expected['systems'][other][key])
        assert found['systems'][name]['macs'] == pytest.approx(expected['systems'][other]['macs'])
    assert found['differences']['built'] == pytest.approx(expected['differences']['cascade less dear'])
    assert 'coverage at 70 % risk, points against dear' in printed
    section = _compared(tmp_path)
    assert {row[0]: row[1].split(' (')[0] for row in section.table.texts()} == {
        name: f'{100 * system["accuracy"]["estimate"]:.1f}' for name, system in found['systems'].items()
    }
    assert section.differences.texts()[0][0] == 'built'
    assert sum(int(row[1]) for row in section.classes.texts()) == len(infos)
    judged = Judgements.load(tmp_path / 'decisions.npz')
    for group in section.groups:
        good, bad = (judged.names.index(name.split(' is ')[0]) for name in group.title.split(', '))
        assert group.units == int((~judged.wrong[good] & judged.wrong[bad]).sum())
        assert all(image.truth in image.name for image in group.shown)
    assert (tmp_path / 'report.html').read_text().startswith('<!DOCTYPE html>')
    assert {file.name for file in tmp_path.iterdir()} >= {'risk_coverage.png', 'risk_coverage.pdf', 'quality_macs.png'}


def test_segmentors_are_not_taken_for_classifiers(tmp_path):
    tiny_seg_project.write_project(tmp_path, policy=dict(type='mmcascade.WindowPolicy', windows=[(0.3, 0.6)])).dump(
        tmp_path / 'roads.py'
    )
    with pytest.raises(ValueError, match='roads.py labels pixels, .* mmcascade compare_segmentors CONFIG'):
        open_systems([str(tmp_path / 'roads.py')])


def test_systems_by_name(folder):
    built = folder / 'built'
    words = [str(built), str(built / 'cascade.py'), *(str(folder / name) for name in ('dear.py', 'dear.pth'))]
    systems = open_systems(words)
    assert list(systems) == ['built', 'built_2', 'dear']
    assert [decider.stages for decider in systems.values()] == [2, 2, 1]


@pytest.mark.parametrize(
    'words, message',
    [
        (['built'], 'two systems or more, got 1: built'),
        (['built', 'dear.py'], 'is a config without a checkpoint'),
        (['built', 'photos'], 'photos'),
    ],
)
def test_mistakes(folder, tmp_path, words, message):
    with pytest.raises(SystemExit, match=message):
        main(
            [
                'compare',
                *(str(folder / word) for word in words),
                '--data',
                str(folder / 'photos'),
                '--out',
                str(tmp_path),
            ]
        )
