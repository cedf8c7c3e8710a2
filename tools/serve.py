# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Serve exported cascades over HTTP.

POST an image to /v1/decide; open / in a browser to drop photographs; /metrics is for Prometheus. Needs no torch.

Example: mmcascade serve work_dirs/bundle --port 8000
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade._system.extras import needed_by
from mmcascade.engine.console.arguments import Subparsers, command, whole_number
from mmcascade.engine.console.commands import main


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('serve', __doc__, run, subparsers, interrupted='what had arrived was answered')
    made.add_argument(
        'bundles', nargs='+', help='folders that `mmcascade export` made, as DIR or NAME=DIR; the first is the default'
    )
    made.add_argument('--host', default='127.0.0.1', help='address to listen on (default: this machine only)')
    made.add_argument('--port', type=whole_number, default=8000)
    made.add_argument('--max-batch', type=whole_number, default=16, help='images that run together (default 16)')
    made.add_argument('--wait-ms', type=float, default=5.0, help='how long the first one waits for others (default 5)')
    made.add_argument('--max-waiting', type=whole_number, default=256, help='beyond that: status 429 (default 256)')
    made.add_argument('--deadline', type=float, default=10.0, help='seconds to wait, then status 503 (default 10)')
    made.add_argument('--max-bytes', type=whole_number, default=64 << 20, help='of one request (default 64 MiB)')
    made.add_argument('--max-pixels', type=whole_number, default=50_000_000, help='of one image (default 50 million)')
    made.add_argument('--engine', choices=['onnxruntime', 'openvino'], default='onnxruntime')
    made.add_argument('--threads', type=int, default=0, help='of one graph (default: as many as the engine likes)')
    return made


def run(args: argparse.Namespace) -> None:
    with needed_by('mmcascade serve'):
        from mmcascade.runtime import Engine
        from mmcascade.serving.server import serve
        from mmcascade.serving.settings import ServeSettings

    folders = _folders(args.bundles)
    settings = ServeSettings(
        max_batch=args.max_batch,
        wait_ms=args.wait_ms,
        max_waiting=args.max_waiting,
        deadline_s=args.deadline,
        max_bytes=args.max_bytes,
        max_pixels=args.max_pixels,
    )
    print(f'serving {", ".join(folders)} on http://{args.host}:{args.port}; Ctrl-C ends it', flush=True)
    serve(folders, args.host, args.port, settings, Engine(args.engine, args.threads))


def _folders(words: list[str]) -> dict[str, Path]:
    folders: dict[str, Path] = {}
    for word in words:
        name, _, folder = word.rpartition('=')
        path = Path(folder)
        name = name or path.resolve().name
        if name in folders:
            raise ValueError(f'two bundles are called {name!r}; give them names: NAME=DIR')
        folders[name] = path
    return folders


if __name__ == '__main__':
    main(parser)
