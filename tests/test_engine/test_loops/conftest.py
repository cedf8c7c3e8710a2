# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A runner of the tiny project."""

from __future__ import annotations

import itertools

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmcascade.engine.configs.testing import EvalFlags, prepare_test


@pytest.fixture(scope='module')
def make_runner(project, tmp_path_factory):
    numbers = itertools.count()

    def make(loop=None):
        cfg = Config.fromfile(project)
        cfg.experiment_name = f'deferred{next(numbers)}'  # mmengine keeps one runner per name and process
        cfg.merge_from_dict({f'test_cfg.{key}': value for key, value in (loop or {}).items()})
        prepare_test(cfg, EvalFlags(str(project), work_dir=str(tmp_path_factory.mktemp('work'))))
        return Runner.from_cfg(cfg)

    return make
