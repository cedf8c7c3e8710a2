# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What users can put right is one line that says how; what they cannot keeps its traceback."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from mmcascade.engine.configs.testing import EvalFlags, prepare_test
from mmcascade.engine.console.commands import find_tools, parser_of, run
from mmcascade.engine.console.configs import ConfigError, read_config, read_options
from mmcascade.engine.console.errors import INTERRUPTED, TRACEBACK, explained, one_line_errors
from mmcascade.engine.runs.runner import build_runner
from mmcascade.engine.runs.testing import readable_split
from tests.support import ROOT
from tests.support.projects.tiny_project import make_project

TEST = find_tools(ROOT)['test']


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp('errors') / 'here', 4)


def said(project, tmp_path, *words):
    """The message with which `mmcascade test` ends."""
    options = [f'experiment_name={tmp_path.name}', 'log_level=ERROR']
    args = parser_of(TEST).parse_args([str(project), '--work-dir', str(tmp_path), *words])
    args.cfg_options = [*(args.cfg_options or []), *options]
    with pytest.raises(SystemExit) as end:
        run(args)
    message = str(end.value.code)
    assert message.startswith('error: '), message
    assert len(message.splitlines()) == 1, message
    return message


@pytest.mark.parametrize(
    'option, message',
    [
        ('model.polcy=x', "WindowCascadeClassifier has no argument 'polcy'; did you mean 'policy'?"),
        ('model.type=mmcascade.WindowCascadeClassifer', "did you mean 'WindowCascadeClassifier'?"),
        ('model.policy.type=mmcascade.WindwPolicy', "did you mean 'WindowPolicy'"),
        ('model.policy.window=[1]', "WindowPolicy has no argument 'window'; did you mean 'windows'?"),
        ('model.accept=5', "accept is 5, and confidence 'max_prob' lies in [0, 1]"),
        ('model.policy.windows=[(7,9)]', "a bound of gap 0 is 7, and confidence 'max_prob' lies in [0, 1]"),
        ('model.fusion=probs', "unknown fusion 'probs'; expected one of ('prob', 'logit', 'replace')"),
        ('model.members.small.checkpoint=[]', "checkpoint of member 'small' is a path"),
        ('model.members.small.model=[None]', "model of member 'small' is a name in a zoo"),
        ('model.members.small.checkpoint=gone.pth', 'gone.pth'),
        ('model.stages=5', 'stages is a list'),
        ('test_dataloader.batch_size=0', 'test_dataloader has a setting that does not fit: batch_size'),
        ('test_dataloader.timeout=-1', 'test_dataloader has a setting that does not fit: timeout'),
        ('test_dataloader.dataset.data_root=nowhere', 'the test split cannot be read'),
        ('test_dataloader.dataset.typ=X', "CustomDataset has no argument 'typ'"),
        ('test_dataloader=5', 'test_dataloader of'),
        ('test_evaluator.0.type=Acuracy', "did you mean 'mmpretrain.Accuracy'?"),
        ('test_evaluator.1.risk=(0.1,)', "SelectiveRisk has no argument 'risk'; did you mean 'risks'?"),
        ('test_cfg.type=mmcascade.DeferedTestLoop', "did you mean 'DeferredTestLoop'?"),
        ('nonsense', '--cfg-options takes pairs'),
        ('model.members.0.1=[1,(2', '--cfg-options'),
    ],
)
def test_a_setting_that_does_not_fit_is_named_with_the_near_one(project, tmp_path, option, message):
    assert message in said(project, tmp_path, '--cfg-options', option)


def test_what_is_missing_is_named(project, tmp_path):
    options = ('model.policy=None', 'model.accept=None', 'model.calibration=nowhere.json')
    message = said(project, tmp_path, '--cfg-options', *options)
    assert "calibration 'nowhere.json' does not exist; make it with mmcascade calibrate" in message
    assert 'give --out FILE' in said(project, tmp_path, '--out-item', 'metrics')


def test_a_broken_image_is_named(tmp_path):
    project = make_project(tmp_path / 'here', 4)
    (tmp_path / 'here' / 'images' / '002.png').write_bytes(b'no picture')
    for workers in (0, 1):
        work = tmp_path / f'workers{workers}'
        assert '002.png cannot be read' in said(
            project, work, '--cfg-options', f'test_dataloader.num_workers={workers}'
        )
    (tmp_path / 'here' / 'images' / '002.png').unlink()
    assert '002.png' in said(project, tmp_path / 'gone')


@pytest.mark.parametrize('setting', [dict(persistent_workers=True), dict(prefetch_factor=2)])
def test_what_only_workers_use_is_left_out_without_them(project, tmp_path, setting):
    cfg = Config.fromfile(project)
    cfg.test_dataloader.update(setting)
    cfg.update(experiment_name=tmp_path.name, log_level='ERROR')
    runner = build_runner(prepare_test(cfg, EvalFlags(str(project), work_dir=str(tmp_path))))
    assert len(readable_split(runner)) == 4


@pytest.mark.parametrize(
    'content, message',
    [
        ('model = dict(', r'cannot be read.*SyntaxError'),
        ('1 / 0', 'ZeroDivisionError'),
        ('raise KeyError("x")', "KeyError: 'x'"),
    ],
)
def test_a_broken_config_is_one_line(tmp_path, content, message):
    path = tmp_path / 'broken.py'
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_config(path)


def test_a_config_that_is_not_there_is_named_with_the_near_one(tmp_path):
    (tmp_path / 'cascade.py').write_text('a = 1')
    for path, message in (
        (tmp_path / 'cascad.py', 'did you mean .*cascade.py'),
        (tmp_path / 'no' / 'x.py', 'nor a folder'),
        (tmp_path, 'is a folder; name the config in it, .*cascade.py'),
    ):
        with pytest.raises(ConfigError, match=message):
            read_config(path)
    (tmp_path / 'cascade.txt').write_text('')
    with pytest.raises(ConfigError, match='it ends with none of .py'):
        read_config(tmp_path / 'cascade.txt')


def test_options_are_those_of_mmengine():
    assert read_options(['a.b=1', 'c=[1,(2,x)]', 'd=None', 'e=x=y', 'f=true']) == {
        'a.b': 1,
        'c': [1, (2, 'x')],
        'd': None,
        'e': 'x=y',
        'f': True,
    }


class Ours(RuntimeError):
    __module__ = 'mmcascade.somewhere'


@pytest.mark.parametrize(
    'error, message',
    [
        (ValueError('wrong'), 'wrong'),
        (Ours('not ready'), 'not ready'),
        (FileNotFoundError(2, 'No such file or directory', 'x.pth'), 'x.pth: No such file or directory'),
        (ModuleNotFoundError('needs timm'), 'needs timm'),
        (
            ValueError(
                'Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n'
                '  File "x.py", line 3\nValueError: in between\n\nmmcascade.x.ImageError: a.png is broken'
            ),
            'a.png is broken',
        ),
        (TypeError('a bug'), None),
        (KeyError('a bug'), None),
    ],
)
def test_whose_errors_are_explained(error, message):
    assert explained(error) == message


def test_bugs_keep_their_traceback_and_others_can_have_it(monkeypatch):
    with pytest.raises(TypeError, match='a bug'), one_line_errors():
        raise TypeError('a bug')
    with pytest.raises(SystemExit, match='error: wrong'), one_line_errors():
        raise ValueError('wrong')
    monkeypatch.setenv(TRACEBACK, '1')
    with pytest.raises(ValueError, match='wrong'), one_line_errors():
        raise ValueError('wrong')


def test_an_interrupt_ends_with_130_whatever_becomes_of_it(capsys):
    import os
    import signal

    with pytest.raises(SystemExit) as end, one_line_errors(interrupted='so be it'):
        raise KeyboardInterrupt
    assert end.value.code == INTERRUPTED
    with pytest.raises(SystemExit) as end, one_line_errors(interrupted='so be it'):
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise SyntaxError('as yapf makes of it') from None
    assert end.value.code == INTERRUPTED
    assert capsys.readouterr().err == 'interrupted; so be it\n' * 2
