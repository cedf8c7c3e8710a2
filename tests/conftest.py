# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
import torch
from mmengine.registry import DefaultScope
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.support import ROOT
from tests.support.projects.tiny_project import make_project

# How long an example takes says what else the machine does, not whether the property holds.
hypothesis.settings.register_profile('mmcascade', deadline=None)
hypothesis.settings.load_profile('mmcascade')
torch.set_num_threads(1)  # tiny tensors, and test processes side by side


@pytest.fixture(scope='module')
def browser():
    """Chromium, which CHROMIUM names."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ['CHROMIUM'], args=['--no-sandbox'])
        yield browser
        browser.close()


@pytest.fixture
def fake_cuda():
    """Inside, tensors carry shapes and devices but no data, so 'cuda' works on any machine."""
    if not torch.backends.cuda.is_built():
        pytest.skip('this build of torch is for processors, and knows no CUDA')
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            yield mode
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)


@pytest.fixture(autouse=True, scope='module')
def default_scope_of_this_module():
    """MMEngine keeps the default scope that a config set last; the next file of tests starts without it."""
    before = set(DefaultScope._instance_dict)
    yield
    for name in set(DefaultScope._instance_dict) - before:
        del DefaultScope._instance_dict[name]


@pytest.fixture(scope='session')
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp('project') / 'here')


@pytest.fixture(scope='session')
def exported_bundle(project, tmp_path_factory):
    """The tiny project's cascade as a bundle; read it only."""
    from mmengine.config import Config

    from mmcascade.engine.runs.export import run_export

    folder = tmp_path_factory.mktemp('exported') / 'bundle'
    run_export(Config.fromfile(project), folder, 'garments')
    return folder


@pytest.fixture
def run_tool(tmp_path):
    """Run a command as a user would, in an empty folder; returns the finished process."""

    def run(*command: object, ok: bool = True, **env: str) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT), **env},
        )
        assert (done.returncode == 0) == ok, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    return run


@pytest.fixture
def metrics_of_two_processes(run_tool, tmp_path):
    """The metrics of tools/test.py, which two processes run together."""

    def run(config: Path, *cfg_options: str) -> dict[str, float]:
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        run_tool(
            *('-m', 'torch.distributed.run', '--nproc_per_node=2', f'--master_port={port}'),
            *(ROOT / 'tools' / 'test.py', config, 'none', '--launcher', 'pytorch', '--out', 'metrics.json'),
            *(['--cfg-options', *cfg_options] if cfg_options else []),
        )
        return json.loads((tmp_path / 'metrics.json').read_text())

    return run
