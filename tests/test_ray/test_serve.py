# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Ray Serve answers as the bundle does, and answers or refuses every request, whatever is killed."""

from __future__ import annotations

import importlib
import os
import runpy
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import yaml

from mmcascade.runtime import Bundle, BundleError, Engine
from mmcascade.serving.ray import deployment
from mmcascade.serving.ray.deployment import RaySettings, _check_room, _join, start
from mmcascade.serving.ray.members import MemberResources
from mmcascade.serving.settings import ServeSettings
from tests.support import ROOT
from tests.support.ports import free_port
from tests.test_ray.conftest import pids_of

# Ray warns of its own ways.
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings('ignore')]
SPREAD = RaySettings(cpus=0.5)


@pytest.fixture(scope='module')
def address(cluster, bundle_folder):
    from ray import serve

    port = free_port()
    start({'main': bundle_folder}, '127.0.0.1', port, ServeSettings(), Engine(threads=1), SPREAD)
    yield f'http://127.0.0.1:{port}'
    serve.delete(SPREAD.name)
    serve.shutdown()


def test_answers_are_those_of_the_bundle(address, bundle_folder, images):
    files = sorted(images.iterdir())
    expected = Bundle(bundle_folder).decide(files)
    with httpx.Client(base_url=address, timeout=60) as client:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda file: client.post('/v1/decide', content=file.read_bytes()), files))
        for decision, answer in zip(expected, answers, strict=True):
            (row,) = answer.json()['decisions']
            assert {key: row[key] for key in decision.to_json()} == decision.to_json()
        assert client.get('/readyz').json() == {'status': 'ready'} and 'mmcascade' in client.get('/').text
        assert client.post('/v1/decide', content=b'no image').status_code == 400
        assert 'mmcascade_images_total' in client.get('/metrics').text


def test_every_request_is_answered_or_refused_though_a_replica_was_killed(address, bundle_folder, images):
    files = sorted(images.iterdir())
    expected = Bundle(bundle_folder).decide(files)
    killed = threading.Event()

    def ask(place):
        if place == len(files) // 3:
            for victim in pids_of('ServeReplica'):
                os.kill(victim, signal.SIGKILL)
            killed.set()
        try:
            answer = httpx.post(f'{address}/v1/decide', content=files[place].read_bytes(), timeout=120)
        except httpx.TransportError as error:
            return str(error) or type(error).__name__
        if answer.status_code != 200:
            assert answer.status_code >= 500 or answer.status_code == 429
            return answer.status_code
        (row,) = answer.json()['decisions']
        assert row['label'] == expected[place].label and row['exit_stage'] == expected[place].exit_stage
        return 200

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(ask, range(len(files))))
    assert killed.is_set() and len(results) == len(files) and results.count(200) > len(files) // 3
    for _ in range(600):  # a new replica takes over
        if ask(0) == 200:
            return
        time.sleep(0.1)
    raise AssertionError('no replica came back')


def test_what_replicas_would_refuse_is_refused_first(bundle_folder, tmp_path):
    with pytest.raises(BundleError, match='is no bundle'):
        start({'main': tmp_path}, '127.0.0.1', 1, ServeSettings(), Engine(), SPREAD)
    unknown = RaySettings(members={'membre1': MemberResources(1.0)})
    with pytest.raises(ValueError, match="did you mean 'member1'"):
        start({'main': bundle_folder}, '127.0.0.1', 1, ServeSettings(), Engine(), unknown)
    with pytest.raises(ValueError, match='max_replicas'):
        RaySettings(replicas=2)
    with pytest.raises(ValueError, match='numbers from 0'):
        RaySettings(cpus=-1)


def test_replicas_that_this_machine_cannot_hold_are_refused():
    """Ray would wait for a larger one without end."""
    there = {'CPU': 2.0}
    _check_room(RaySettings(cpus=1.0, replicas=2, max_replicas=8), there)
    _check_room(RaySettings(cpus=1.0, members={'a': MemberResources(1.0)}), there)
    with pytest.raises(ValueError, match='ask for 3 CPUs and this machine has 2: .* --cpus 0.5'):
        _check_room(RaySettings(cpus=1.0, members={'a': MemberResources(1.0), 'b': MemberResources(1.0)}), there)
    with pytest.raises(ValueError, match='ask for 1 GPUs and this machine has 0'):
        _check_room(RaySettings(cpus=1.0, members={'a': MemberResources(1.0, 1.0)}), there)


def test_sigterm_takes_the_application_down(monkeypatch):
    called = []
    for name in ('start', 'stop'):
        monkeypatch.setattr(deployment, name, lambda *args, name=name: called.append(name))
    before = signal.getsignal(signal.SIGTERM)
    try:
        deployment.serve_on_ray({}, up=lambda: (called.append('up'), os.kill(os.getpid(), signal.SIGTERM)))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert called == ['start', 'up', 'stop']


def test_a_ray_that_does_not_come_up_is_told_in_one_line(monkeypatch):
    import ray

    def init(**options):
        raise Exception('The current node timed out during startup.\n')  # noqa: TRY002

    monkeypatch.setattr(ray, 'init', init)
    with pytest.raises(OSError, match=r'Ray does not start on this machine; is it too busy\? \(The .* startup\.\)'):
        _join(None)
    with pytest.raises(OSError, match="Ray is not at 'head:6379'"):
        _join('head:6379')


def test_the_application_of_the_example(bundle_folder):
    """What KubeRay is told, as far as no Kubernetes is needed."""
    service = yaml.safe_load((ROOT / 'docs' / 'en' / 'examples' / 'kuberay_serve.yaml').read_text())
    (config,) = yaml.safe_load(service['spec']['serveConfigV2'])['applications']
    module, _, name = config['import_path'].partition(':')
    build = getattr(importlib.import_module(module), name)
    application = build(config['args'] | {'bundles': {'flowers': str(bundle_folder)}})
    assert config['deployments'][0]['name'] == application._bound_deployment.name
    for wrong in (
        {},
        {'bundles': {}},
        {'bundles': {'a': 'b'}, 'max_bach': 3},
        {'bundles': {'a': 'b'}, 'members': 'x=1'},
    ):
        with pytest.raises(ValueError, match='args are bundles'):
            build(wrong)
    args = {'bundles': {'flowers': str(bundle_folder)}}
    application = build(args | {'members': ['member1=1:1']})
    (apart,) = application._bound_deployment.init_args
    assert apart._bound_deployment.name == 'member-member1'
    assert apart._bound_deployment.ray_actor_options['num_gpus'] == 1
    with pytest.raises(ValueError, match="no bundle has a member 'large'"):
        build(args | {'members': ['large=1']})


def test_the_command_passes_its_flags_on(bundle_folder, monkeypatch):
    called = []
    monkeypatch.setattr(deployment, 'serve_on_ray', lambda *args: called.append(args))
    parser = runpy.run_path(str(ROOT / 'tools' / 'serve.py'))['parser']
    words = [str(bundle_folder), '--engine', 'ray', '--replicas', '2:5', '--cpus', '0.5', '--port', '8001']
    args = parser().parse_args(words)
    args.run(args)
    ((folders, host, port, settings, engine, spread, _),) = called
    assert list(folders.values()) == [bundle_folder] and (host, port) == ('127.0.0.1', 8001)
    assert engine.name == 'onnxruntime' and settings.max_batch == 16
    assert (spread.replicas, spread.max_replicas, spread.cpus, spread.address) == (2, 5, 0.5, None)
    assert spread.members == {}
    args = parser().parse_args([*words[:3], '--members', 'member1=0.5:0.25', 'member0=2'])
    args.run(args)
    assert called[1][5] == RaySettings(members={'member1': MemberResources(0.5, 0.25), 'member0': MemberResources(2.0)})
    for wrong, why in (
        ([*words[:4], 'two'], 'N or N:M'),
        ([*words[:3], '--members', 'member1'], 'NAME=CPUS'),
        ([words[0], '--members', 'member1=1'], '--members goes with --engine ray'),
        ([words[0], '--cpus', '0'], '--cpus goes with'),
    ):
        args = parser().parse_args(wrong)
        with pytest.raises(ValueError, match=why):
            args.run(args)
