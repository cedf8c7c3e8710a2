# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Configs written from what somebody else may have made: a store, or the class names of a checkpoint."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from mmcascade.calibration.grid.plan import Plan
from mmcascade.calibration.stores import StoreError
from mmcascade.calibration.stores import store as stores
from mmcascade.engine.runs.search import SearchRun
from mmcascade.models.parts.config_file import write_config
from tests.support.stored.synthetic_scores import make_store, skilled_logits


def code_in_a_name(folder) -> str:
    """A string that MMEngine makes code of: it ends where it is filled in, and a call follows."""
    return '{{$N:x|\\\'+str(__import__("os").mkdir("FOLDER/run")),#|y}}'.replace('FOLDER', str(folder))


def test_the_string_is_dangerous(tmp_path):
    (tmp_path / 'c.py').write_text(Config(dict(classes=[code_in_a_name(tmp_path), 'b'])).pretty_text)
    Config.fromfile(tmp_path / 'c.py')
    assert (tmp_path / 'run').is_dir()


def test_class_names_are_no_code(tmp_path):
    names = [code_in_a_name(tmp_path), '{{ fileBasename }}', '{{_base_.x}}', '{{{{{', '\\{{$HOME:a}}', "'''"]
    write_config(Config(dict(model=dict(classes=names))), tmp_path / 'c.py')
    assert Config.fromfile(tmp_path / 'c.py').model.classes == names
    assert [file.name for file in tmp_path.iterdir()] == ['c.py']


@settings(max_examples=15)
@given(st.lists(st.text('{}$N:x|\\\'"+ _base.fileDirname#', max_size=30)))
def test_every_text_is_read_as_it_was(tmp_path_factory, texts):
    file = tmp_path_factory.mktemp('texts') / 'c.py'
    write_config(Config(dict(texts=texts)), file)
    assert Config.fromfile(file).texts == texts


def strangers_store(folder, **config):
    logits, labels = skilled_logits(200)
    names = ['a', 'b', 'c', 'd']
    model = dict(
        type='mmcascade.WindowCascadeClassifier',
        members={name: dict(model=f'{name}.py', checkpoint=f'{name}.pth', unsafe_checkpoint=True) for name in names},
        stages=[dict(member=name) for name in names],
    )
    macs, text = [1e6, 2e6, 4e6, 8e6], repr(config | dict(model=model))
    return make_store(folder / 'store', logits, labels, names, macs, config=text)


def test_configs_that_a_search_writes_run_nothing_of_a_strangers(tmp_path):
    (tmp_path / 'evil.py').write_text(f'import os\nos.mkdir({str(tmp_path / "run")!r})\n')
    imports = dict(imports=['antigravity'], allow_failed_imports=False)
    name = code_in_a_name(tmp_path)
    strangers_store(tmp_path, _base_=str(tmp_path / 'evil.py'), custom_imports=imports, title=[name])
    out = tmp_path / 'out'
    SearchRun.open([tmp_path / 'store'], out).front(Plan(max_stages=2, max_settings=500))
    written = sorted(out.glob('*/config.py'))
    assert written
    for file in written:
        config, text = Config.fromfile(file), file.read_text()
        assert config.title == [name] and config.model.calibration == f'{file.parent}/calibration.json'
        assert 'custom_imports' not in config and 'antigravity' not in text
        assert not any(member.get('unsafe_checkpoint') for member in config.model.members.values())
        assert '# Left out, since they run code: _base_, custom_imports, unsafe_checkpoint of member' in text
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('name', ['a/../../../escaped/owned', '..', 'a\\b', '/tmp/x', 'a\nb'])
def test_names_of_members_are_no_paths(tmp_path, name):
    folder = strangers_store(tmp_path).folder
    header = json.loads((folder / 'store.json').read_text())
    header.pop('digest')
    header['identity']['members']['stages'][0]['member'] = name
    (folder / 'store.json').write_text(json.dumps(header | {'digest': stores._digest(header)}))
    with pytest.raises(StoreError, match='a member has a printable name'):
        SearchRun.open([folder], tmp_path / 'out')
