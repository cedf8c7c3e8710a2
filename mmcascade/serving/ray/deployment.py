# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The application of the server in every replica of a Ray Serve deployment, with all members or but for some."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from mmcascade.runtime import Engine, open_bundle
from mmcascade.serving.app import create_app
from mmcascade.serving.ray.members import (
    MemberResources,
    MembersEngine,
    check_members,
    check_resources,
    deployment_name,
    member_deployment,
)
from mmcascade.serving.settings import ServeSettings

#: Ray gives a proxy five seconds to start, which a busy machine needs for the imports alone.
PATIENCE = {'RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S': '60'}
#: Until the first answer.
PROXY_SECONDS = 180


@dataclass(frozen=True)
class RaySettings:
    """How an application is spread over a cluster.

    Attributes:
        address: of a Ray cluster, such as 'auto'; None = this machine alone.
        replicas: at least so many.
        max_replicas: at most so many; they come and go with the requests that wait.
        cpus: processors of each replica.
        gpus: of each replica; a part is fine.
        name: of the application within the cluster.
        members: those that run in deployments of their own, and what each replica of these holds; all others run in
            the replicas of the cascade.
    """

    address: str | None = None
    replicas: int = 1
    max_replicas: int = 1
    cpus: float = 1.0
    gpus: float = 0.0
    name: str = 'mmcascade'
    members: Mapping[str, MemberResources] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.replicas <= self.max_replicas:
            raise ValueError(
                f'replicas is a whole number from 1 to max_replicas, got {self.replicas!r} and {self.max_replicas!r}'
            )
        check_resources(self.cpus, self.gpus)


def build_app(folders: dict[str, str], settings: ServeSettings, engine: Engine) -> FastAPI:
    """The application of one replica, made where it runs."""
    return create_app({name: Path(folder) for name, folder in folders.items()}, settings, engine)


def deployment(folders: Mapping[str, Path], settings: ServeSettings, engine: Engine, spread: RaySettings) -> Any:
    """The application as Ray Serve takes it: the stages of a cascade in one replica, but for members of their own.

    Args:
        folders: bundles by name, under paths that every machine of the cluster finds.
        settings: bounds and batching of every replica.
        engine: what runs the graphs.
        spread: replicas and what each holds.
    """
    from ray import serve

    plain = {name: str(folder.resolve()) for name, folder in folders.items()}
    apart = {
        member: member_deployment(member, list(plain.values()), engine, resources, spread.max_replicas)
        for member, resources in spread.members.items()
    }

    def build() -> FastAPI:  # Ray tells it from an application by its being a plain function
        if not spread.members:
            return build_app(plain, settings, engine)
        handles = {member: serve.get_deployment_handle(deployment_name(member)) for member in spread.members}
        asking = MembersEngine(
            engine.name, engine.threads, engine.precision, engine.providers, handles, settings.deadline_s
        )
        with ThreadPoolExecutor(1) as pool:  # replicas are made within an event loop, where no answer can be waited for
            return pool.submit(build_app, plain, settings, asking).result()

    @serve.ingress(build)
    class Cascade:
        """One replica."""

        def __init__(self, *members: object) -> None:
            """Nothing is done with members; that they are bound brings their deployments up."""

    made: Any = serve.deployment(  # whose types know it as a decorator only
        Cascade,
        name='cascade',
        ray_actor_options={'num_cpus': spread.cpus, 'num_gpus': spread.gpus},
        autoscaling_config={
            'min_replicas': spread.replicas,
            'max_replicas': spread.max_replicas,
            'target_ongoing_requests': settings.max_batch,
        },
        max_ongoing_requests=settings.max_waiting,
        # Beyond what replicas hold, the proxy refuses with 503 at once.
        max_queued_requests=settings.max_waiting,
        graceful_shutdown_timeout_s=30.0,
        health_check_period_s=2.0,
    )
    return made.bind(*apart.values())


def serve_on_ray(
    folders: Mapping[str, Path],
    host: str = '127.0.0.1',
    port: int = 8000,
    settings: ServeSettings | None = None,
    engine: Engine | None = None,
    spread: RaySettings | None = None,
    up: Callable[[], None] = lambda: None,
) -> None:
    """Serve bundles by Ray Serve until Ctrl-C or SIGTERM.

    Args:
        folders: bundles by name.
        host: address to listen on.
        port: to listen on.
        settings: bounds and batching of every replica.
        engine: what runs the graphs.
        spread: replicas and what each holds.
        up: called when requests are answered.

    Raises:
        BundleError: if a bundle is wrong.
        ValueError: if a member is not there, or this machine is too small.
    """
    spread = spread or RaySettings()
    start(folders, host, port, settings or ServeSettings(), engine or Engine(), spread)
    told: list[int] = []
    # Under Ray's own handler the process aborts while the application is taken down.
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    up()
    try:
        while not told:
            time.sleep(0.5)
    finally:
        stop(spread)


def start(
    folders: Mapping[str, Path],
    host: str,
    port: int,
    settings: ServeSettings,
    engine: Engine,
    spread: RaySettings,
) -> None:
    """Bring the application up; when it returns, requests are answered."""
    import ray
    from ray import serve

    # Refused here is what replicas would refuse one by one.
    check_members(spread.members, [open_bundle(x, engine, settings.limits).manifest for x in folders.values()])
    for name, seconds in PATIENCE.items():
        os.environ.setdefault(name, seconds)
    if not ray.is_initialized():
        _join(spread.address)
    if spread.address is None:
        _check_room(spread, ray.cluster_resources())
    with suppress(TimeoutError):  # of a proxy that is slow to start, which is waited for below
        serve.start(http_options={'host': host, 'port': port})
    serve.run(deployment(folders, settings, engine, spread), name=spread.name, route_prefix='/')
    if spread.address is None:
        _wait_for('127.0.0.1' if host == '0.0.0.0' else host, port)  # noqa: S104


def _join(address: str | None) -> None:
    """Start Ray on this machine, or join a cluster.

    Raises:
        OSError: if it does not come up.
    """
    import ray

    try:
        ray.init(address=address, log_to_driver=False, include_dashboard=False if address is None else None)
    except Exception as error:  # Ray raises plain ones, too
        where = 'does not start on this machine; is it too busy?' if address is None else f'is not at {address!r}'
        raise OSError(f'Ray {where} ({str(error).strip()})') from error


def _check_room(spread: RaySettings, there: Mapping[str, float]) -> None:
    """See that this machine can hold what is asked for: Ray would wait for another one without end.

    Raises:
        ValueError: if it cannot.
    """
    apart = spread.members.values()
    asked = {
        'CPU': spread.replicas * spread.cpus + sum(member.cpus for member in apart),
        'GPU': spread.replicas * spread.gpus + sum(member.gpus for member in apart),
    }
    for what, number in asked.items():
        if number > (has := there.get(what, 0.0)):
            raise ValueError(
                f'the replicas ask for {number:g} {what}s and this machine has {has:g}: ask for less (parts are fine, '
                'such as --cpus 0.5), or name a cluster by --address'
            )


def _wait_for(host: str, port: int) -> None:
    """Return when requests are answered: Ray starts its proxies beside the application, and again if one is slow."""
    last = time.monotonic() + PROXY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f'http://{host}:{port}/readyz', timeout=10):
                return
        except OSError as error:
            if time.monotonic() > last:
                raise TimeoutError(
                    f'the application runs, but nothing answers on {host}:{port} after {PROXY_SECONDS} s ({error}): '
                    'the machine is too busy for one more process, or the address is not its own'
                ) from None
        time.sleep(0.1)


def stop(spread: RaySettings) -> None:
    """Take the application down after its last answers; Ray itself ends with it on this machine alone."""
    import ray
    from ray import serve

    serve.delete(spread.name)
    if spread.address is None:
        serve.shutdown()
        ray.shutdown()
