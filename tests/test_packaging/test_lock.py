# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The pinned environment."""

from __future__ import annotations

import re
import subprocess
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import ROOT
from tests.test_packaging.required import required

# The lock takes cv2 from the build that needs no display libraries.
LOCKED_AS = {'opencv-python': 'opencv-python-headless'}
# What `make` installs.
PARTS = (
    'base', 'torch', 'onedl', 'runtime', 'onnx', 'openvino', 'serve', 'ray', 'parquet', 'tensorboard', 'torchmetrics',
    'demo', 'tests', 'lint',
)  # fmt: skip
#: What only torch asks for, and only its builds for GPUs.
FOR_GPUS = re.compile(r'(nvidia-|cuda-).*|triton')


def installed_version(name: str) -> str:
    """Return the version of an installed distribution, '0' where there is none."""
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return '0'


def test_lock_is_exact_and_satisfies_every_range():
    lock = required('lock')
    pins = {}
    for name, need in lock.items():
        (specifier,) = need.specifier
        assert specifier.operator == '==', need
        pins[name] = specifier.version
    for part in PARTS:
        for name, need in required(part).items():
            pin = pins[LOCKED_AS.get(name, name)]
            assert pin in need.specifier, f'{part}.txt: {need}, lock.txt: {pin}'


def test_the_site_adds_to_the_lock_and_changes_nothing_in_it():
    lock, added = (required(name) for name in ('lock', 'docs'))
    assert not lock.keys() & added.keys()
    for name, need in added.items():
        assert re.fullmatch('==[^,*]+', str(need.specifier)), need
        if installed_version(name) == '0':
            continue  # `make docs` installs them
        for wanted in map(Requirement, distribution(name).requires or ()):
            if wanted.marker is None or wanted.marker.evaluate({'extra': ''}):
                found = (lock | added)[canonicalize_name(wanted.name)]
                assert next(iter(found.specifier)).version in wanted.specifier, f'{need} asks for {wanted}'


def test_the_lock_for_processors_is_the_lock_without_what_gpus_need():
    lock = required('lock')
    text = (ROOT / 'requirements' / 'lock-cpu.txt').read_text()
    (option,) = re.findall(r'^--.*$', text, re.M)
    assert option == '--extra-index-url https://download.pytorch.org/whl/cpu'
    names = re.findall(r'^[^#-].*$', text, re.M)
    cpu = {canonicalize_name(need.name): need for need in map(Requirement, names)}
    assert len(names) == len(cpu) and cpu.keys() == {name for name in lock if not FOR_GPUS.fullmatch(name)}
    for name, need in cpu.items():
        local = '+cpu' if name in ('torch', 'torchvision') else ''
        assert str(need.specifier) == f'{lock[name].specifier}{local}'


def test_only_torch_asks_for_what_gpus_need():
    lock = required('lock')
    for name in lock:
        if installed_version(name) == '0' or name == 'torch' or FOR_GPUS.fullmatch(name):
            continue
        needs = map(Requirement, distribution(name).requires or ())
        asked = {n.name for n in needs if n.marker is None or n.marker.evaluate({'extra': ''})}
        assert not {n for n in asked if FOR_GPUS.fullmatch(canonicalize_name(n))}, name


def test_make_takes_the_lock_for_processors():
    for words, lock in (((), 'lock.txt'), (('CPU=1',), 'lock-cpu.txt')):
        done = subprocess.run(
            ['make', '-n', '-B', 'lint', *words], cwd=ROOT, text=True, capture_output=True, check=True
        )
        assert f'--no-deps -r requirements/{lock}\n' in done.stdout


def test_lock_is_complete_and_has_nothing_else():
    """Follow the requirements of everything asked for: what they reach is what the lock names."""
    lock = required('lock')
    other = [str(need) for name, need in lock.items() if installed_version(name) not in need.specifier]
    if other:
        pytest.skip(f'this environment is not the locked one: {", ".join(other[:3])} ...')
    waiting = [(name, extra) for part in PARTS for name, need in required(part).items() for extra in ('', *need.extras)]
    reached = set()
    while waiting:
        name, extra = waiting.pop()
        name = LOCKED_AS.get(name, name)
        if (name, extra) in reached:
            continue
        reached.add((name, extra))
        for need in map(Requirement, distribution(name).requires or ()):
            if need.marker is None or need.marker.evaluate({'extra': extra}):
                waiting += [(canonicalize_name(need.name), e) for e in ('', *need.extras)]
    assert {name for name, _ in reached} == lock.keys()
