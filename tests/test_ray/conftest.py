# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import importlib
import os

import numpy as np
import pytest
from PIL import Image

from tests.support.bundles import numbered_images, write_bundle

COUNT = 240


@pytest.fixture(scope='session')
def cluster():
    """A Ray cluster of two processors on this machine; it takes half a minute, so there is one for all tests."""
    os.environ['RAY_USAGE_STATS_ENABLED'] = '0'
    ray = pytest.importorskip('ray')
    os.environ.update(importlib.import_module('mmcascade.serving.ray.deployment').PATIENCE)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture(scope='session')
def bundle_folder(tmp_path_factory):
    rng = np.random.default_rng(0)
    scores = [rng.normal(size=(COUNT, 3)).astype(np.float32) * spread for spread in (2, 3)]
    return write_bundle(tmp_path_factory.mktemp('bundle'), scores)


@pytest.fixture(scope='session')
def images(tmp_path_factory):
    """A folder of images that the bundle tells apart."""
    folder = tmp_path_factory.mktemp('images')
    for number, pixels in enumerate(numbered_images(COUNT)):
        Image.fromarray(pixels).save(folder / f'{number:03d}.png')
    return folder


def pids_of(words: str) -> list[int]:
    """Processes of this user whose title has these words; Ray titles its workers by what they run."""
    found = []
    for entry in os.scandir('/proc'):
        if entry.name.isdecimal():
            try:
                with open(f'/proc/{entry.name}/cmdline', encoding='utf-8', errors='replace') as file:
                    title = file.read()
            except OSError:
                continue
            if title.startswith('ray::') and words in title:
                found.append(int(entry.name))
    return found
