# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The commands of the guide, as they stand there, on smaller networks."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
import timm
import torch

from mmcascade.__main__ import main
from tests.support import ROOT
from tests.support.projects.labelled_folder import write_images
from tests.support.projects.tiny_project import NAMES
from tests.support.projects.tiny_seg_project import write_images_and_masks, write_project, write_segmentors
from tests.test_docs.pages import commands

GUIDE = ROOT / 'docs' / 'en' / 'user_guides' / 'build_and_predict.md'
SMALLER = {
    'timm/mobilenetv3_small_100': 'timm/test_resnet',
    'timm/efficientnet_lite0': 'timm/test_resnet',
    'timm/resnet50': 'timm/test_resnet',
    'risk=0.05': 'risk=0.9',
}


@pytest.mark.slow
def test_the_guide(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    photos = write_images(tmp_path)
    shutil.copytree(photos / 'ant', photos.parent / 'scans')
    (tmp_path / 'list.txt').write_text('unlabelled/broken.png\n')
    for seed, name in enumerate(('small', 'large', 'a', 'b', 'c')):
        torch.manual_seed(seed)
        torch.save(timm.create_model('test_resnet', num_classes=len(NAMES)).state_dict(), f'{name}.pth')
    build, test, export, search, build_maps, predict, predict_maps, compare = commands(GUIDE)
    main([SMALLER.get(word, word) for word in build[1:]])
    assert 'on the 30 images of the report part' in capsys.readouterr().out
    main(test[1:])
    assert 'selective/deployed_risk' in capsys.readouterr().out
    (tmp_path / 'unlabelled').mkdir()
    for number, image in enumerate(sorted((photos / 'bee').iterdir())):
        shutil.copy(image, tmp_path / 'unlabelled' / f'{number}.png')
    (tmp_path / 'unlabelled' / 'broken.png').write_bytes(b'no image')
    main(predict[1:])
    printed = capsys.readouterr().out
    with open('decisions.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert f'decisions.csv: {len(rows)} image(s)' in printed and '1 could not be read' in printed
    assert {row['class_name'] for row in rows} <= {*NAMES, ''} and 'top3_probability' in rows[0]
    with pytest.raises(SystemExit, match='decisions.csv is there already'):
        main(predict[1:])
    main(export[1:])
    card = Path('work_dirs/bundle/README.md').read_text()
    assert '- Calibrated for risk=0.9.\n- On 30 calibration units: accuracy' in card and card.startswith('# my_cascade')
    main(['predict', 'work_dirs/bundle', 'scans', '--out', 'bundle.jsonl'])
    lines = (tmp_path / 'bundle.jsonl').read_text().splitlines()
    assert len(lines) == len(list((tmp_path / 'scans').iterdir()))
    main([SMALLER.get(word, word) for word in search[1:]])
    assert 'Chosen of 15 chains on 30 images' in ' '.join(capsys.readouterr().out.split())
    segmentors = tmp_path / 'segmentors'
    write_project(segmentors, dict(val=2, test=4))
    large, weights, small, other = write_segmentors(segmentors)
    members = {'work_dirs/small/small.py': small, 'work_dirs/large/large.py': large}
    members |= {'large.pth': weights, 'small.pth': other}
    members |= {'macs=3e10': 'deferred=0.5', 'scenes': str(write_images_and_masks(segmentors))}
    main([members.get(word, word) for word in build_maps[1:]])
    assert 'small -> large, cheap first, cells of 64 px' in capsys.readouterr().out
    shutil.copytree(segmentors / 'img' / 'test', tmp_path / 'streets')
    main(predict_maps[1:])
    assert 'cells.jsonl: 4 image(s)\n' in capsys.readouterr().out and len(list(Path('label_maps').iterdir())) == 4
    main([SMALLER.get(word, word).replace('test_photos', 'photos') for word in compare[1:]])
    printed = capsys.readouterr().out
    assert 'on 60 images' in printed and 'my_cascade' in printed and 'comparison.json' in printed
