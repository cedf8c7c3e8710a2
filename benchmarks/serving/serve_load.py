# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A server of a bundle under mixed load, on this machine: what is lost, how long answers take, what memory it needs.

    python benchmarks/serving/serve_load.py work_dirs/lite_bundle data/foolbox --json work_dirs/serve_load.json

Clients send good images (whose decisions are compared with those of the bundle in this process), broken ones, files
that are too large, half a request and after a pause nonsense, and half a request and then a cut connection. Few and
many clients take turns. Before that, images are decided on in this process and through the server, at the same batch
size, in turns.

Rows: for each kind of request, how many were answered rightly, refused by a status, or closed; the rest is lost, and
must be 0. For each number of clients, good images that were answered in a second, and milliseconds until the answer
(median, and 99 of 100). Then single values: images/s in process and through the server and their ratio (medians of the
rounds); answers to good images that clients have and that the server counted, which must be the same; megabytes of the
server after the first turn of each number of clients, at the end, and at the most after a turn.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import socket
import statistics
import sys
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from mmcascade.runtime import Bundle, Decision, Engine

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import report
from server_process import Server, encoded_images, serving_arguments

#: Share of the requests by their kind.
KINDS = {'good': 0.7, 'broken': 0.12, 'huge': 0.06, 'slow': 0.06, 'cut': 0.06}
OUTCOMES = ('right', 'refused', 'closed', 'lost')
_MAX_BYTES = 4 << 20
_RECEIVE_S = 40.0
#: Of one number of clients, in seconds, unless the whole is shorter than ten turns of each.
_TURN = 45.0
_COUNTED = re.compile(r'^mmcascade_requests_total\{.*status="200"\} (\S+)$', re.MULTILINE)


class Load:
    """Clients until a time, and what became of their requests."""

    def __init__(self, server: Server, images: list[bytes], expected: list[Decision]) -> None:
        self.server = server
        self.images = images
        self.expected = expected
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.waited: dict[int, list[float]] = {}
        self.seconds: defaultdict[int, float] = defaultdict(float)
        self.lock = threading.Lock()

    def run(self, clients: int, seconds: float) -> None:
        """One turn of so many clients."""
        started = time.monotonic()
        with ThreadPoolExecutor(clients) as pool:
            for done in [pool.submit(self._client, clients, started + seconds) for _ in range(clients)]:
                done.result()
        self.seconds[clients] += time.monotonic() - started

    def _client(self, clients: int, until: float) -> None:
        rng = random.Random()  # noqa: S311
        with httpx.Client(base_url=self.server.url, timeout=_RECEIVE_S + 20) as client:
            while time.monotonic() < until:
                kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
                outcome, waited = self._half(kind, rng) if kind in ('slow', 'cut') else self._whole(kind, rng, client)
                with self.lock:
                    self.outcomes[kind, outcome] += 1
                    if waited is not None:
                        self.waited.setdefault(clients, []).append(waited)

    def _whole(self, kind: str, rng: random.Random, client: httpx.Client) -> tuple[str, float | None]:
        place = rng.randrange(len(self.images))
        body = {'good': self.images[place], 'broken': self.images[place][: rng.randrange(1, 24)]}.get(kind)
        started = time.monotonic()
        try:
            answer = client.post('/v1/decide', content=b'x' * (_MAX_BYTES + 1) if body is None else body)
        except httpx.TransportError:
            return 'closed', None
        if answer.status_code != 200:
            return 'refused' if answer.status_code != 500 else 'lost', None
        waited = time.monotonic() - started
        (row,) = answer.json()['decisions']
        expected = self.expected[place]
        same = row['label'] == expected.label and row['exit_stage'] == expected.exit_stage
        # Another batch adds up in another order, so a score on a bound may fall on its other side.
        return 'right' if same or expected.margin < 1e-4 else 'lost', waited

    def _half(self, kind: str, rng: random.Random) -> tuple[str, None]:
        with socket.create_connection(('127.0.0.1', self.server.port), timeout=_RECEIVE_S + 20) as connection:
            connection.sendall(
                b'POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n' + rng.randbytes(50)
            )
            if kind == 'cut':
                return 'closed', None
            time.sleep(rng.uniform(0.1, 2.0))
            try:
                connection.sendall(rng.randbytes(9949))
                return 'refused' if b' 400 ' in connection.makefile('rb').readline() else 'lost', None
            except OSError:
                return 'closed', None

    def rows(self) -> list[dict[str, Any]]:
        """What became of the requests by kind, and how long good ones took by the number of clients."""
        rows = []
        for kind in KINDS:
            counts = {outcome: self.outcomes[kind, outcome] for outcome in OUTCOMES}
            rows.append(_row(kind, requests=sum(counts.values()), **counts))
        for clients, waited in sorted(self.waited.items()):
            cuts = statistics.quantiles(waited, n=100)
            name, speed = f'{clients} client{"s" * (clients > 1)}', len(waited) / self.seconds[clients]
            rows.append(_row(name, images_per_s=speed, ms_median=1000 * cuts[49], ms_99=1000 * cuts[98]))
        return rows


def _row(what: str, **values: float) -> dict[str, Any]:
    names = ('requests', *OUTCOMES, 'images_per_s', 'ms_median', 'ms_99', 'value')
    return {'what': what, **dict.fromkeys(names), **values}


def answered(server: Server) -> int:
    """Requests that the server says it has answered with a decision."""
    text = httpx.get(f'{server.url}/metrics', timeout=60).raise_for_status().text
    return sum(int(float(number)) for number in _COUNTED.findall(text))


def throughput(server: Server, bundle: Bundle, images: list[bytes], batch: int, rounds: int) -> dict[str, list[float]]:
    """Images/s in process and through the server, in turns."""
    found: dict[str, list[float]] = {'in process': [], 'server': []}
    some = (images * (8 * batch // len(images) + 1))[: 8 * batch]
    with httpx.Client(base_url=server.url, timeout=120) as client, ThreadPoolExecutor(2 * batch) as pool:
        for _ in range(rounds):
            started = time.monotonic()
            for start in range(0, len(some), batch):
                bundle.decide(some[start : start + batch])
            found['in process'].append(len(some) / (time.monotonic() - started))
            started = time.monotonic()
            list(pool.map(lambda image: client.post('/v1/decide', content=image).raise_for_status(), some))
            found['server'].append(len(some) / (time.monotonic() - started))
    return found


def main() -> None:
    parser = serving_arguments(__doc__, rounds=5)
    parser.add_argument('--minutes', type=float, default=30.0)
    parser.add_argument('--clients', type=int, nargs='+', default=[1, 4, 16, 64], help='default: 1 4 16 64')
    args = parser.parse_args()
    images = encoded_images(args.images)
    bundle = Bundle(args.bundle, Engine(threads=1))
    expected = [bundle.decide([image])[0] for image in images]
    server = Server(args.bundle, '--threads', 1, '--max-batch', args.batch, '--max-bytes', _MAX_BYTES)
    memory: list[float] = []
    busy: list[float] = []
    turns = max(1, round(60 * args.minutes / len(args.clients) / _TURN), 10 if args.minutes < 7 else 0)
    try:
        speeds = throughput(server, bundle, images, args.batch, args.rounds)
        before, load = answered(server), Load(server, images, expected)
        for _, clients in itertools.product(range(turns), args.clients):
            load.run(clients, 60 * args.minutes / turns / len(args.clients))
            memory.append(server.memory_mb)
            busy.append(os.getloadavg()[0])
        counted = answered(server) - before
    finally:
        server.stop()
    ratios = [a / b for a, b in zip(speeds['server'], speeds['in process'], strict=True)]
    right = load.outcomes['good', 'right']
    values = {
        'minutes': sum(load.seconds.values()) / 60,
        'load of the machine': statistics.median(busy),
        **{f'images/s, {name}': statistics.median(found) for name, found in speeds.items()},
        'server over in process': statistics.median(ratios),
        'answers, clients': right,
        'answers, server': counted,
        'MB, early': memory[len(args.clients) - 1],
        'MB, late': memory[-1],
        'MB, most': max(memory),
    }
    report([*load.rows(), *(_row(name, value=value) for name, value in values.items())], args.json, ('uvicorn',))
    if lost := sum(count for (_, outcome), count in load.outcomes.items() if outcome == 'lost'):
        raise SystemExit(f'{lost} request(s) were lost')
    if counted != right:
        raise SystemExit(f'the server decided {counted} times, and clients have {right} answers')


if __name__ == '__main__':
    main()
