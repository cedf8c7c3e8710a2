# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What it costs to ask a bundle through a server, through Ray Serve, and through Ray Serve with members apart.

    python tools/convert_lite_weights.py work_dirs/efficientnet-lite
    python tools/dataset_converters/foolbox_samples.py data/foolbox
    mmcascade export configs/selective/efficientnet-lite_window_foolbox.py work_dirs/lite_bundle
    python benchmarks/serving/serve_engines.py work_dirs/lite_bundle data/foolbox --json work_dirs/serve_engines.json

Each system has one thread per graph and the same batch size. In rounds, images are decided on in this process, batch by
batch; then as many clients as two batches send one image a request, each as soon as it has its answer; then one client
alone. Every decision is compared with that of the bundle. With two cores this takes six minutes, most of it to start
Ray.

Columns: images/s under load (median of the rounds, lowest, highest) and as a share of what this process did in
the same round; milliseconds of an answer under that load (median, and 99 of 100) and to a client alone (median), and in
process of a whole batch and of one image; milliseconds of processors per image of all processes but the clients'; and
requests that were refused.
"""

from __future__ import annotations

import itertools
import os
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from mmcascade.runtime import Bundle, Decision, Engine

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import report
from server_process import Server, encoded_images, serving_arguments

#: Until Ray's first answer, in seconds.
_PATIENCE = 400.0
#: Processors that are asked for per replica, so few that all fit: none is bound to them.
_CPUS = 0.2


@dataclass(frozen=True)
class Load:
    """What is sent.

    Attributes:
        images: encoded.
        expected: what the bundle says of each.
        batch: images that run together.
        seconds: of one measurement.
    """

    images: list[bytes]
    expected: list[Decision]
    batch: int
    seconds: float


@dataclass(frozen=True)
class Round:
    """What was measured of a system at a time.

    Attributes:
        speed: images/s.
        busy: seconds of each answer under load.
        alone: the same of one image at a time.
        cpu: processor seconds per image.
        refused: how many requests were.
    """

    speed: float
    busy: list[float]
    alone: list[float]
    cpu: float
    refused: int = 0


def row(name: str, rounds: list[Round], beside: list[Round], load: Load) -> dict[str, Any]:
    """Of a system, beside what this process did in the same rounds."""
    speeds = [one.speed for one in rounds]
    busy = [seconds for one in rounds for seconds in one.busy]
    alone = [seconds for one in rounds for seconds in one.alone]
    if len(busy) < 2 or not alone:
        raise SystemExit(f'{name}: every request was refused')
    return {
        'system': name,
        'images_per_s': statistics.median(speeds),
        'lowest': min(speeds),
        'highest': max(speeds),
        'share': statistics.median(one.speed / other.speed for one, other in zip(rounds, beside, strict=True)),
        'ms_median': 1000 * statistics.median(busy),
        'ms_99': 1000 * statistics.quantiles(busy, n=100)[98],
        'ms_alone': 1000 * statistics.median(alone),
        'cpu_ms': 1000 * statistics.median(one.cpu for one in rounds),
        'refused': sum(one.refused for one in rounds),
        'batch': load.batch,
        'load': round(os.getloadavg()[0], 1),
    }


def systems(members: list[str], batch: int) -> dict[str, list[object]]:
    """The options of ``mmcascade serve`` for each system."""
    one = ['--threads', 1, '--max-batch', batch]
    ray = [*one, '--engine', 'ray', '--cpus', _CPUS]
    apart = [f'{member}={_CPUS}' for member in members]
    return {
        'server': one,
        'Ray Serve, cascade in one replica': ray,
        'Ray Serve, last member apart': [*ray, '--members', apart[-1]],
        'Ray Serve, every member apart': [*ray, '--members', *apart],
    }


def in_process(bundle: Bundle, load: Load) -> Round:
    """A round in this process."""
    places = itertools.cycle(range(len(load.images)))
    busy, start, cpu = [], time.monotonic(), time.process_time()
    while time.monotonic() < start + load.seconds / 2:
        began = time.monotonic()
        bundle.decide([load.images[next(places)] for _ in range(load.batch)])
        busy.append(time.monotonic() - began)
    count, seconds, cpu = len(busy) * load.batch, time.monotonic() - start, time.process_time() - cpu
    alone = []
    for image in load.images[:20]:
        began = time.monotonic()
        bundle.decide([image])
        alone.append(time.monotonic() - began)
    return Round(count / seconds, busy, alone, cpu / count)


def ask(client: httpx.Client, load: Load, place: int) -> float | None:
    """Seconds until the answer to one image, which is right; None where it was refused."""
    began = time.monotonic()
    answer = client.post('/v1/decide', content=load.images[place])
    seconds = time.monotonic() - began
    if answer.status_code in (429, 503):
        return None
    (row,) = answer.raise_for_status().json()['decisions']
    expected = load.expected[place]
    # Another batch adds up in another order, so a score on a bound may fall on its other side.
    if (row['label'], row['exit_stage']) != (expected.label, expected.exit_stage) and expected.margin > 1e-4:
        raise SystemExit(f'image {place} was decided otherwise than in this process')
    return seconds


def clients(url: str, load: Load, count: int, seconds: float) -> tuple[float, list[float | None]]:
    """Images/s of some clients, and how long each answer took."""
    places, lock = itertools.cycle(range(len(load.images))), threading.Lock()
    start = time.monotonic()

    def client() -> list[float | None]:
        answers: list[float | None] = []
        with httpx.Client(base_url=url, timeout=120) as http:
            while not answers or time.monotonic() < start + seconds:
                with lock:
                    place = next(places)
                answers.append(ask(http, load, place))
        return answers

    with ThreadPoolExecutor(count) as pool:
        answers = [one for done in [pool.submit(client) for _ in range(count)] for one in done.result()]
    return sum(one is not None for one in answers) / (time.monotonic() - start), answers


def served(server: Server, load: Load) -> Round:
    """A round through a server."""
    cpu = server.cpu_seconds
    speed, answers = clients(server.url, load, 2 * load.batch, load.seconds)
    cpu = server.cpu_seconds - cpu
    busy = [one for one in answers if one is not None]
    _, alone = clients(server.url, load, 1, load.seconds / 3)
    return Round(
        speed, busy, [one for one in alone if one is not None], cpu / max(len(busy), 1), len(answers) - len(busy)
    )


def main() -> None:
    parser = serving_arguments(__doc__, rounds=3)
    parser.add_argument('--seconds', type=float, default=8.0, help='of load per round (default %(default)s)')
    parser.add_argument('--systems', nargs='+', metavar='WORD', help='only those with such a word, beside this process')
    args = parser.parse_args()
    bundle = Bundle(args.bundle, Engine(threads=1))
    images = encoded_images(args.images)
    load = Load(images, [bundle.decide([image])[0] for image in images], args.batch, args.seconds)
    members = list(dict.fromkeys(stage.member for stage in bundle.manifest.stages))
    here: list[Round] = []
    rows = []
    for name, options in systems(members, args.batch).items():
        if args.systems and not any(word in name for word in args.systems):
            continue
        server = Server(args.bundle, *options, patience=_PATIENCE)
        try:
            clients(server.url, load, 2 * args.batch, min(2.0, args.seconds))  # what is slow only once
            pairs = [(in_process(bundle, load), served(server, load)) for _ in range(args.rounds)]
        finally:
            server.stop()
        beside = [one for one, _ in pairs]
        rows.append(row(name, [other for _, other in pairs], beside, load))
        here += beside
    report([row('in process', here, here, load), *rows], args.json, libraries=('onnxruntime', 'ray', 'uvicorn'))


if __name__ == '__main__':
    main()
