# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Every command of "Deploy a cascade" is run, one after the other, in a folder as its reader has it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import httpx
import pytest
from mmengine.config import Config
from PIL import Image

from tests.support import ROOT
from tests.support.ports import free_port
from tests.test_docs.pages import commands

pytestmark = pytest.mark.slow

PAGE = ROOT / 'docs' / 'en' / 'user_guides' / 'deploy.md'
#: What is not run: it would change the environment of the tests (tests/test_runtime/test_without_torch.py has its own).
LEFT_OUT = {'pip'}
#: What is told of an image by whoever is asked.
SAME = ('label', 'class_name', 'accepted', 'exit_stage', 'macs')
PROGRAMS = {'mmcascade': [sys.executable, '-m', 'mmcascade'], 'python': [sys.executable]}


@pytest.fixture
def folder(project, tmp_path):
    """The cascade of the tiny project under the name that the page uses, and photographs."""
    Config.fromfile(project).dump(tmp_path / 'cascade.py')
    for number, name in enumerate(('photo.jpg', 'other.jpg')):
        Image.open(project.parent / 'images' / f'00{number}.png').save(tmp_path / name)
    return tmp_path


def run(words, folder):
    """What a command prints; it has to end well."""
    command = [*PROGRAMS.get(words[0], words[:1]), *words[1:]]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f'{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}'
    return done.stdout


def environment():
    return os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}


@contextlib.contextmanager
def running(words, folder):
    """A server, until it has ended by itself after SIGTERM; yields the process when it answers."""
    command = [*PROGRAMS[words[0]], *words[1:]]
    process = subprocess.Popen(command, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        address = f'http://127.0.0.1:{words[words.index("--port") + 1]}'
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f'{address}/readyz').status_code == 200:
                    break
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_every_command_of_the_page_runs(folder):
    port, printed = str(free_port()), {}
    with contextlib.ExitStack() as servers:
        for words in commands(PAGE):
            words = [word.replace('8000', port) for word in words]
            if words[:2] == ['mmcascade', 'serve']:
                servers.enter_context(running(words, folder))
            elif words[0] == 'curl' and shutil.which('curl') is None:
                continue
            elif words[0] not in LEFT_OUT:
                printed[' '.join(words)] = run(words, folder)
    assert (folder / 'work_dirs' / 'models' / 'cascade' / 'config.pbtxt').is_file()
    assert (folder / 'work_dirs' / 'for_hub' / '.gitattributes').is_file()
    (checked,) = (text for command, text in printed.items() if '--check' in command)
    told = [json.loads(text)['decisions'] for command, text in printed.items() if command.startswith('curl')]
    row = json.loads(checked.splitlines()[-1])
    assert row['image'] == 'photo.jpg'
    # The first answer is about the same photograph, and the second one about two.
    if shutil.which('curl'):
        assert [len(rows) for rows in told] == [1, 2]
        for first in (told[0][0], told[1][0]):
            assert first['confidence'] == pytest.approx(row['confidence'], abs=1e-5)
            assert {name: first[name] for name in SAME} == {name: row[name] for name in SAME}
        assert [len(one['top']) for one in told[1]] == [3, 3]


def test_several_bundles_are_served_by_name_and_loaded_anew(folder):
    """As the text says: cats=... dogs=..., and SIGHUP."""
    for name in ('a', 'b'):
        run(['mmcascade', 'export', 'cascade.py', f'bundles/{name}', '--images', '4'], folder)
    port, photo = str(free_port()), (folder / 'photo.jpg').read_bytes()
    words = ['mmcascade', 'serve', 'cats=bundles/a', 'dogs=bundles/b', '--port', port]
    with running(words, folder) as process, httpx.Client(base_url=f'http://127.0.0.1:{port}') as client:
        assert [bundle['name'] for bundle in client.get('/v1/bundles').json()] == ['cats', 'dogs']
        assert client.post('/v1/decide?bundle=dogs', content=photo).json()['bundle'] == 'dogs'
        manifest = folder / 'bundles' / 'b' / 'cascade.json'
        content = json.loads(manifest.read_text())
        manifest.write_text(json.dumps(content | {'classes': [f'dog {k}' for k in range(content['num_classes'])]}))
        process.send_signal(signal.SIGHUP)
        assert 'bundles loaded anew: cats, dogs' in process.stderr.readline()
        (row,) = client.post('/v1/decide?bundle=dogs', content=photo).json()['decisions']
        assert row['class_name'].startswith('dog ')
        manifest.write_text('{')
        process.send_signal(signal.SIGHUP)
        assert "the old bundles go on serving: bundle 'dogs'" in process.stderr.readline()
        assert client.post('/v1/decide?bundle=dogs', content=photo).status_code == 200


def test_a_folder_with_the_sign_of_a_name_in_it_is_served(folder):
    run(['mmcascade', 'export', 'cascade.py', 'lr=0.1/a', '--images', '4'], folder)
    port = str(free_port())
    with running(['mmcascade', 'serve', 'lr=0.1/a', '--port', port], folder):
        assert httpx.get(f'http://127.0.0.1:{port}/v1/bundles').json()[0]['name'] == 'a'
