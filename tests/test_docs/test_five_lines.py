# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The lines of Python that README and start page show first run, given networks and images."""

from __future__ import annotations

import pytest
import torch

from mmcascade import Cascade
from tests.support import ROOT
from tests.test_docs.pages import blocks

PLACES = [ROOT / 'README.md', ROOT / 'docs' / 'en' / 'index.md']


def five_lines(page):
    (found,) = [code for language, code in blocks(page) if language == 'py']
    return found


def test_both_pages_show_the_same():
    first, second = map(five_lines, PLACES)
    assert first == second and len(first.splitlines()) == 5


@pytest.mark.parametrize('page', PLACES, ids=lambda page: page.name)
def test_they_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    labels = torch.arange(400) % 3
    images = 3 * torch.nn.functional.one_hot(labels, 3) + torch.randn(400, 3)
    named = {
        'Cascade': Cascade,
        'small': torch.nn.Linear(3, 3),
        'large': torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)),
        'calibration_data': [(images[:300], labels[:300])],
        'images': images[300:],
    }
    with torch.no_grad():
        for layer in (named['small'], *named['large']):
            layer.weight.copy_(torch.eye(3))
            layer.bias.zero_()
        named['large'][1].weight.mul_(2)
    exec(compile(five_lines(page), page.name, 'exec'), named)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 100 and all(len(line.split()) == 4 for line in printed)
    assert (tmp_path / 'work_dirs' / 'mine').is_dir()
