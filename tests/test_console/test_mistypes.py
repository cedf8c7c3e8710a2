# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What people mistype on the way from networks to decisions ends with one line, and the line says the cure."""

from __future__ import annotations

import pytest

from mmcascade.__main__ import main
from tests.support.projects.labelled_folder import write_images, write_members
from tests.support.projects.tiny_project import make_project

GOOD = ['dear.py', 'dear.pth', 'cheap.py', 'cheap.pth']
TO = ['--data', 'photos', '--target', 'risk=0.7', '--out', 'new']
BUILD = ['build', *GOOD, *TO]
PREDICT = ['predict', 'project/cascade.py', 'photos']

MISTYPES = {
    'a command': (['biuld', *BUILD[1:]], 'did you mean build?'),
    'a flag': (['build', *GOOD, '--data', 'photos', '--targt', 'risk=0.7'], 'did you mean --target?'),
    'a flag left out': (['build', *GOOD, '--target', 'risk=0.7'], '--data'),
    'a task': ([*BUILD, '--task', 'segmentatoin'], "'classification', 'segmentation'"),
    'a kind of target': (['build', *GOOD, '--data', 'photos', '--target', 'rsk=0.05'], "did you mean 'risk'?"),
    'a target in percent': (['build', *GOOD, '--data', 'photos', '--target', 'risk=5'], '5 % is written 0.05'),
    'a target of another task': (['build', *GOOD, '--data', 'photos', '--target', 'miou=0.5'], 'segmentation cascades'),
    'a name of timm': (['build', 'timm/resnt18', *GOOD, *TO], 'close names are resnet18'),
    'a name of torchvision': (['build', 'torchvision/resnt18', *GOOD, *TO], 'resnet18'),
    'a name in the zoo': (['build', 'resnt50_8xb32_in1k', *GOOD, *TO], 'close ones are resnet50_8xb32_in1k'),
    'a config': (['build', 'daer.py', 'dear.pth', *GOOD[2:], *TO], 'close ones are dear.py'),
    'a checkpoint': (['build', 'dear.py', 'daer.pth', *GOOD[2:], *TO], 'there is cheap.pth, dear.pth'),
    'no checkpoint': (['build', 'dear.py', *GOOD[2:], *TO], 'write the path of its weights behind it'),
    'weights of another member': (['build', 'dear.py', 'cheap.pth', *GOOD[2:], *TO], "does not fit member 'dear'"),
    'a checkpoint first': (['build', 'dear.pth', *GOOD, *TO], 'a model comes first, then its checkpoint'),
    'one member': (['build', *GOOD[:2], *TO], 'two members or more, got 1'),
    'a data folder': (
        ['build', *GOOD, '--data', 'fotos', *TO[2:]],
        "images 'fotos'; close is 'photos'",
    ),
    'a folder without classes': (['build', *GOOD, '--data', 'photos/ant', *TO[2:]], 'name a folder such as'),
    'a class': (['build', *GOOD, '--data', 'misnamed', *TO[2:]], "'aunt'"),
    'a folder of something else': ([*BUILD[:-1], 'photos'], 'name another folder with --out'),
    'a promise': ([*BUILD, '--certify', '2'], 'between 0 and 1'),
    'a share': ([*BUILD, '--fraction', '50'], 'half of them is written 0.5'),
    'processes': ([*BUILD, '--workers', '-2'], '--workers is a number of processes from 0'),
    'a list of another form': (['build', *GOOD, '--data', 'semicolons.csv', *TO[2:]], 'no line has a path and a label'),
    'a flag of another task': ([*BUILD, '--cell', '64'], '--cell is for --task segmentation'),
    'a cost': ([*BUILD, '--cost', 'tiem'], "'macs', 'time'"),
    'a budget of another cost': (
        ['build', *GOOD, '--data', 'photos', '--target', 'macs=1e9', '--cost', 'time'],
        'leave --cost time out',
    ),
    'a search for nothing': (
        ['build', *GOOD, '--data', 'photos', '--target', 'deferred=0.3', '--search'],
        'search for risk=, coverage=, accuracy=',
    ),
    'a cascade': (['predict', 'project/cascde.py', 'photos', '--out', 'a.csv'], 'cascade.py'),
    'a folder for a cascade': (['predict', 'photos', 'photos', '--out', 'a.csv'], 'holds neither cascade.py'),
    'a member for a cascade': (['predict', 'dear.py', 'photos', '--out', 'a.csv'], 'is no cascade'),
    'an input': (
        ['predict', 'project/cascade.py', 'fotos', '--out', 'a.csv'],
        "or list 'fotos'; close is 'photos'",
    ),
    'a pattern': (['predict', 'project/cascade.py', 'photos/*.jpeg', '--out', 'a.csv'], 'there is no image in'),
    'a table': ([*PREDICT, '--out', 'a.xlsx'], '.csv, .jsonl, .parquet'),
    'a table that is there': ([*PREDICT, '--out', 'there.csv'], 'delete it, or name another --out'),
    'a number': ([*PREDICT, '--out', 'a.csv', '--top', '0'], 'is at least 1'),
    'label maps of classifiers': ([*PREDICT, '--out', 'a.csv', '--maps-to', 'maps'], 'leave out --maps-to'),
    'no images to export to': (['export', 'project/cascade.py', 'photos'], 'photos'),
    'a comparison of nothing': (['compare', 'project/cascde.py', '--data', 'photos', '--out', 'c'], 'cascde'),
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('mistypes')
    write_images(root)
    write_members(root)
    make_project(root / 'project')
    (root / 'there.csv').write_text('')
    (root / 'semicolons.csv').write_text('image;label\n')
    (root / 'misnamed').mkdir()
    for entry in (root / 'photos').iterdir():
        (root / 'misnamed' / entry.name.replace('ant', 'aunt')).symlink_to(entry)
    return root


@pytest.mark.parametrize('words, cure', MISTYPES.values(), ids=MISTYPES)
def test_one_line_with_the_cure(folder, monkeypatch, capsys, words, cure):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob('*'))
    with pytest.raises(SystemExit) as end:
        main(words)
    said = capsys.readouterr()
    message = str(end.value.code) if isinstance(end.value.code, str) else said.err.splitlines()[-1]
    assert cure in message
    first, *details = message.splitlines()  # of weights that do not fit, which ones
    assert cure in first and all(line.startswith('  ') for line in details)
    assert 'error: ' in message and 'Traceback' not in said.err
    assert len(message) < 400
    assert sorted(folder.rglob('*')) == before  # nothing was begun
