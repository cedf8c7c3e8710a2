# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from mmcascade._system.locks import BusyError, alone

HOLD = """
import sys, time
from mmcascade._system.locks import alone
with alone(sys.argv[1]):
    print("in", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, '-c', HOLD, str(tmp_path / 'x')], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == 'in\n'
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_owner_is_named_and_a_killed_one_lets_go(tmp_path, holder):
    with pytest.raises(BusyError, match=rf'another process \(pid {holder.pid} on '), alone(tmp_path / 'x'):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with alone(tmp_path / 'x'):
        pass
    assert not list(tmp_path.iterdir())


def test_one_path_by_two_names_is_one_lock(tmp_path):
    (tmp_path / 'real').mkdir()
    os.symlink(tmp_path / 'real', tmp_path / 'link')
    with alone(tmp_path / 'real' / 'x'), pytest.raises(BusyError), alone(tmp_path / 'link' / '..' / 'real' / 'x'):
        pass
    with alone(tmp_path / 'real' / 'x'), alone(tmp_path / 'real' / 'y'):
        pass


def test_an_error_inside_lets_go(tmp_path):
    with pytest.raises(RuntimeError), alone(tmp_path / 'x'):
        raise RuntimeError
    with alone(tmp_path / 'x'):
        pass
