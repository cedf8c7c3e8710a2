# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Serve exported cascades over HTTP.

POST an image to /v1/decide; open / in a browser to drop photographs; /metrics is for Prometheus. Needs no torch.

Example: mmcascade serve work_dirs/bundle --port 8000
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmcascade._system.extras import needed_by
from mmcascade.engine.console.arguments import Subparsers, command, whole_number
from mmcascade.engine.console.commands import main

if TYPE_CHECKING:
    from mmcascade.serving.ray.deployment import RaySettings

_RAY = ('address', 'replicas', 'cpus', 'members')


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('serve', __doc__, run, subparsers, interrupted='what had arrived was answered')
    made.add_argument(
        'bundles', nargs='+', help='folders that `mmcascade export` made, as DIR or NAME=DIR; the first is the default'
    )
    made.add_argument('--host', default='127.0.0.1', help='address to listen on (default: this machine only)')
    made.add_argument('--port', type=whole_number, default=8000)
    made.add_argument('--max-batch', type=whole_number, default=16, help='images that run together (default 16)')
    made.add_argument(
        '--wait-ms',
        type=float,
        default=0.0,
        help='how long an image waits for others when nothing runs (default 0: what comes meanwhile is the next batch)',
    )
    made.add_argument('--max-waiting', type=whole_number, default=256, help='beyond that: status 429 (default 256)')
    made.add_argument('--deadline', type=float, default=10.0, help='seconds to wait, then status 503 (default 10)')
    made.add_argument('--max-bytes', type=whole_number, default=64 << 20, help='of one request (default 64 MiB)')
    made.add_argument('--max-pixels', type=whole_number, default=50_000_000, help='of one image (default 50 million)')
    made.add_argument(
        '--engine',
        choices=['onnxruntime', 'openvino', 'ray'],
        default='onnxruntime',
        help='what runs the graphs, or ray: replicas of the whole server on Ray Serve, in ONNX Runtime',
    )
    made.add_argument('--threads', type=int, default=0, help='of one graph (default: as many as the engine likes)')
    ray = made.add_argument_group('with --engine ray')
    ray.add_argument('--address', help='of a cluster, such as auto (default: this machine alone)')
    ray.add_argument('--replicas', metavar='N[:M]', help='at least N and at most M, as requests wait (default 1)')
    ray.add_argument('--cpus', type=float, help='processors of each replica (default 1)')
    ray.add_argument(
        '--members',
        nargs='+',
        metavar='NAME=CPUS[:GPUS]',
        help='members that run in deployments of their own, and what each replica of these holds',
    )
    return made


def run(args: argparse.Namespace) -> None:
    with needed_by('mmcascade serve' + (' --engine ray' if args.engine == 'ray' else '')):
        from mmcascade.runtime import Engine
        from mmcascade.serving.server import serve
        from mmcascade.serving.settings import ServeSettings

        if args.engine == 'ray':
            import ray.serve  # noqa: F401

    folders = _folders(args.bundles)
    settings = ServeSettings(
        max_batch=args.max_batch,
        wait_ms=args.wait_ms,
        max_waiting=args.max_waiting,
        deadline_s=args.deadline,
        max_bytes=args.max_bytes,
        max_pixels=args.max_pixels,
    )

    def up() -> None:
        print(f'serving {", ".join(folders)} on http://{args.host}:{args.port}; Ctrl-C ends it', flush=True)

    if args.engine == 'ray':
        from mmcascade.serving.ray.deployment import serve_on_ray

        spread = _spread(args)
        print('starting Ray, which takes a while', flush=True)
        serve_on_ray(folders, args.host, args.port, settings, Engine(threads=args.threads), spread, up)
        return
    if given := [flag for flag in _RAY if getattr(args, flag) is not None]:
        raise ValueError(f'--{given[0]} goes with --engine ray')
    serve(folders, args.host, args.port, settings, Engine(args.engine, args.threads), up)


def _spread(args: argparse.Namespace) -> RaySettings:
    from mmcascade.serving.ray.deployment import RaySettings
    from mmcascade.serving.ray.members import read_members

    least, most = _replicas(args.replicas or '1')
    cpus = 1.0 if args.cpus is None else args.cpus
    return RaySettings(args.address, least, most, cpus, members=read_members(args.members or ()))


def _replicas(text: str) -> tuple[int, int]:
    least, _, most = text.partition(':')
    if not least.isdecimal() or not (most or least).isdecimal():
        raise ValueError(f'--replicas is N or N:M, whole numbers from 1, got {text!r}')
    return int(least), int(most or least)


def _folders(words: list[str]) -> dict[str, Path]:
    folders: dict[str, Path] = {}
    for word in words:
        name, _, folder = word.partition('=')
        if not folder or Path(word).exists():  # a folder may have the sign in its own name
            name, folder = '', word
        path = Path(folder)
        name = name or path.resolve().name
        if name in folders:
            raise ValueError(f'two bundles are called {name!r}; give them names: NAME=DIR')
        folders[name] = path
    return folders


if __name__ == '__main__':
    main(parser)
