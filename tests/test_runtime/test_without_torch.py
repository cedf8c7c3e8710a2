# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The wheel in environments of its own that hold neither torch nor a library of OpenMMLab."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from tests.support import ROOT
from tests.support.wheels import build_wheel, copy_sources, run

pytestmark = pytest.mark.slow

ABSENT = ('torch', 'mmengine', 'mmcv', 'mmpretrain', 'mmseg', 'cv2', 'scipy', 'sklearn', 'matplotlib')


class Environment:
    """A virtual environment with the wheel and one extra, as pip resolves it within the versions of the lock."""

    def __init__(self, folder: Path, wheel: Path, extra: str) -> None:
        self.folder = folder
        run(sys.executable, '-m', 'venv', folder, cwd=folder.parent)
        self.run(
            *('-m', 'pip', 'install', '--disable-pip-version-check', '-q'),
            f'mmcascade[{extra}] @ {wheel.as_uri()}',
            PIP_CONSTRAINT=str(ROOT / 'requirements' / 'lock.txt'),
        )

    def run(self, *words: str | Path, **variables: str) -> str:
        return run(self.folder / 'bin' / 'python', *words, cwd=self.folder, PYTHONPATH='', **variables)

    def fails(self, *words: str | Path) -> str:
        done = subprocess.run(
            [str(word) for word in (self.folder / 'bin' / 'python', *words)],
            cwd=self.folder,
            env={**os.environ, 'PYTHONPATH': ''},
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 1 and 'Traceback' not in done.stderr, done.stdout + done.stderr
        return done.stderr

    def holds(self, *modules: str) -> list[str]:
        code = f'import importlib.util as u; print([m for m in {modules!r} if u.find_spec(m)])'
        return json.loads(self.run('-c', code).replace("'", '"'))


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
    return build_wheel(copy_sources(tmp_path_factory.mktemp('checkout')))


@pytest.fixture(scope='module')
def runtime_only(wheel, tmp_path_factory) -> Environment:
    return Environment(tmp_path_factory.mktemp('runtime') / 'venv', wheel, 'runtime')


@pytest.fixture(scope='module')
def serve_only(wheel, tmp_path_factory) -> Environment:
    return Environment(tmp_path_factory.mktemp('serve') / 'venv', wheel, 'serve')


def test_a_bundle_runs_where_torch_is_not(runtime_only, exported_bundle):
    assert runtime_only.holds(*ABSENT, 'fastapi') == []
    promised = json.loads((exported_bundle / 'samples' / 'decisions.json').read_text())
    images = [exported_bundle / 'samples' / row['file'] for row in promised]
    checked, *lines = runtime_only.run('-m', 'mmcascade.runtime', exported_bundle, *images, '--check').splitlines()
    assert checked.startswith(f'{len(images)} samples as promised')
    for row, line in zip(promised, lines, strict=True):
        decided = json.loads(line)
        assert decided['label'] == row['label'] and decided['exit_stage'] == row['exit_stage']
        assert decided['confidence'] == pytest.approx(row['confidence'], abs=1e-4)


def test_what_is_not_installed_is_named(runtime_only, exported_bundle):
    def command(*words: str | Path) -> str:
        return runtime_only.fails('-m', 'mmcascade', *words)

    assert 'pip install "mmcascade[serve]"' in command('serve', exported_bundle)
    assert 'pip install "mmcascade[onedl]"' in command('calibrate', 'cascade.py', 'c.json', '--target', 'risk=0.05')
    assert 'pip install "mmcascade[openvino]"' in runtime_only.fails(
        *('-m', 'mmcascade.runtime', exported_bundle, '--engine', 'openvino')
    )


def test_curves_need_no_torch(runtime_only):
    code = 'from mmcascade import coverage_at_risk as c; print(c([0.9, 0.8, 0.7, 0.6], [0, 0, 1, 0], risk=0.25))'
    assert runtime_only.run('-c', code).strip() == '1.0'


def test_a_server_needs_no_torch(serve_only, exported_bundle):
    assert serve_only.holds(*ABSENT) == []
    assert '--max-batch' in serve_only.run('-m', 'mmcascade', 'serve', '--help')
    image = next(path for path in (exported_bundle / 'samples').iterdir() if path.suffix != '.json')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    command = [serve_only.folder / 'bin' / 'python', '-m', 'mmcascade', 'serve', exported_bundle, '--port', str(port)]
    server = subprocess.Popen(command, cwd=serve_only.folder, env={**os.environ, 'PYTHONPATH': ''})
    try:
        request = Request(f'http://127.0.0.1:{port}/v1/decide', image.read_bytes())
        answer = json.loads(patiently(lambda: urlopen(request, timeout=60).read()))
    finally:
        server.terminate()
        assert server.wait(60) in (0, -15)
    assert answer['decisions'][0]['class_name'] in ('ant', 'bee', 'cat', 'dog', 'eel')


def patiently(ask: Callable[[], bytes]) -> bytes:
    """Ask until the server listens."""
    for _ in range(300):
        try:
            return ask()
        except URLError:
            time.sleep(0.2)
    raise AssertionError('the server does not listen')
