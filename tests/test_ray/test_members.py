# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members in deployments of their own: the decisions are those of the bundle, also where one of them is killed."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from PIL import Image

from mmcascade.runtime import Bundle, Engine, SegmentationBundle
from mmcascade.serving.ray.deployment import RaySettings, start
from mmcascade.serving.ray.members import MemberResources
from mmcascade.serving.settings import ServeSettings
from tests.support.bundles import write_segmentation_bundle
from tests.support.ports import free_port
from tests.test_ray.conftest import pids_of

# Ray warns of its own ways.
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings('ignore')]
SPREAD = RaySettings(cpus=0.4, name='apart', members={'member0': MemberResources(0.4), 'member1': MemberResources(0.4)})


@pytest.fixture(scope='module')
def roads(tmp_path_factory):
    return write_segmentation_bundle(tmp_path_factory.mktemp('roads'))


@pytest.fixture(scope='module')
def address(cluster, bundle_folder, roads):
    """Two bundles with members of the same names."""
    from ray import serve

    port = free_port()
    folders = {'main': bundle_folder, 'roads': roads}
    start(folders, '127.0.0.1', port, ServeSettings(deadline_s=5.0), Engine(threads=1), SPREAD)
    yield f'http://127.0.0.1:{port}'
    serve.delete(SPREAD.name)
    serve.shutdown()


def test_members_run_in_processes_of_their_own(address):
    for member in SPREAD.members:
        assert len(pids_of(f'member-{member}')) == 1


def test_decisions_are_those_of_the_bundle(address, bundle_folder, images):
    files = sorted(images.iterdir())[:96]
    expected = Bundle(bundle_folder).decide(files)
    assert {decision.exit_stage for decision in expected} == {0, 1}
    with httpx.Client(base_url=address, timeout=60) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda file: client.post('/v1/decide', content=file.read_bytes()), files))
    for decision, answer in zip(expected, answers, strict=True):
        (row,) = answer.json()['decisions']
        assert {key: row[key] for key in decision.to_json()} == decision.to_json()


def test_labels_are_those_of_the_bundle(address, roads):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    pixels[:, :48] = (250, 40, 40)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, 'PNG')
    expected = SegmentationBundle(roads).segment(pixels)
    assert {cell.exit_stage for cell in expected.cells} == {0, 1}
    ask = f'{address}/v1/segment?bundle=roads'
    row = httpx.post(ask, content=file.getvalue(), timeout=60).json()
    assert {key: row[key] for key in expected.to_json()} == expected.to_json()
    assert httpx.post(f'{ask}&answer=png', content=file.getvalue(), timeout=60).content == expected.png()


def test_every_request_is_answered_or_refused_though_a_member_was_killed(address, bundle_folder, images):
    files = sorted(images.iterdir())[:48]
    expected = Bundle(bundle_folder).decide(files)
    (victim,) = pids_of('member-member1')
    killed = threading.Event()

    def ask(place):
        if place == len(files) // 3:
            os.kill(victim, signal.SIGKILL)
            killed.set()
        answer = httpx.post(f'{address}/v1/decide', content=files[place].read_bytes(), timeout=120)
        if answer.status_code == 200:
            (row,) = answer.json()['decisions']
            assert row['label'] == expected[place].label and row['exit_stage'] == expected[place].exit_stage
        return answer.status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(ask, range(len(files))))
    assert killed.is_set() and set(statuses) <= {200, 429, 503} and statuses.count(200) > len(files) // 3
    deferred = next(place for place, decision in enumerate(expected) if decision.exit_stage == 1)
    for _ in range(600):  # a new replica takes over
        if ask(deferred) == 200:
            break
        time.sleep(0.1)
    assert pids_of('member-member1') not in ([], [victim])
