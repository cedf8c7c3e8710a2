# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A server of a bundle under mixed load, on this machine: what is lost, how long answers take, what memory it needs.

    python benchmarks/serving/serve_load.py work_dirs/bundle data/flowers --minutes 30 --json work_dirs/serve_load.json

Clients send good images (whose decisions are compared with those of the bundle in this process), broken ones, files
that are too large, half a request and after a pause nonsense, and half a request and then a cut connection. Before
that, images are decided on in this process and through the server, at the same batch size, in turns.

Columns: requests of each kind, how many were answered rightly, refused by a status, or closed; the rest is lost, and
must be 0. Below them single values: images/s in process and through the server and their ratio (medians of the rounds),
milliseconds of answers to good images (median, and 99 of 100), megabytes of the server after a tenth of the time and at
its end.
"""

from __future__ import annotations

import random
import socket
import statistics
import sys
import threading
import time
from collections import Counter
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
_MAX_BYTES = 4 << 20
_RECEIVE_S = 40.0


class Load:
    """Clients until a time, and what became of their requests."""

    def __init__(self, server: Server, images: list[bytes], expected: list[Decision]) -> None:
        self.server = server
        self.images = images
        self.expected = expected
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.seconds: list[float] = []
        self.lock = threading.Lock()

    def run(self, clients: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        with ThreadPoolExecutor(clients) as pool:
            for done in [pool.submit(self._client, seed, until) for seed in range(clients)]:
                done.result()

    def _client(self, seed: int, until: float) -> None:
        rng = random.Random(seed)  # noqa: S311
        with httpx.Client(base_url=self.server.url, timeout=_RECEIVE_S + 20) as client:
            while time.monotonic() < until:
                kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
                outcome = self._request(kind, rng, client)
                with self.lock:
                    self.outcomes[kind, outcome] += 1

    def _request(self, kind: str, rng: random.Random, client: httpx.Client) -> str:
        if kind in ('slow', 'cut'):
            return self._half(kind, rng)
        place = rng.randrange(len(self.images))
        body = {'good': self.images[place], 'broken': self.images[place][: rng.randrange(1, 24)]}.get(kind)
        started = time.monotonic()
        try:
            answer = client.post('/v1/decide', content=b'x' * (_MAX_BYTES + 1) if body is None else body)
        except httpx.TransportError:
            return 'closed'
        if answer.status_code != 200:
            return 'refused' if answer.status_code != 500 else 'lost'
        (row,) = answer.json()['decisions']
        with self.lock:
            self.seconds.append(time.monotonic() - started)
        expected = self.expected[place]
        same = row['label'] == expected.label and row['exit_stage'] == expected.exit_stage
        # Another batch adds up in another order, so a score on a bound may fall on its other side.
        return 'right' if same or expected.margin < 1e-4 else 'lost'

    def _half(self, kind: str, rng: random.Random) -> str:
        with socket.create_connection(('127.0.0.1', self.server.port), timeout=_RECEIVE_S + 20) as connection:
            connection.sendall(
                b'POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n' + rng.randbytes(50)
            )
            if kind == 'cut':
                return 'closed'
            time.sleep(rng.uniform(0.1, 2.0))
            try:
                connection.sendall(rng.randbytes(9949))
                return 'refused' if b' 400 ' in connection.makefile('rb').readline() else 'lost'
            except OSError:
                return 'closed'


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
    parser.add_argument('--clients', type=int, default=16)
    args = parser.parse_args()
    images = encoded_images(args.images)
    bundle = Bundle(args.bundle, Engine(threads=1))
    expected = [bundle.decide([image])[0] for image in images]
    server = Server(args.bundle, '--threads', 1, '--max-batch', args.batch, '--max-bytes', _MAX_BYTES)
    try:
        speeds = throughput(server, bundle, images, args.batch, args.rounds)
        load = Load(server, images, expected)
        load.run(args.clients, 6 * args.minutes)
        early = server.memory_mb
        load.run(args.clients, 54 * args.minutes)
        late = server.memory_mb
    finally:
        server.stop()
    outcomes = ('right', 'refused', 'closed', 'lost')
    rows: list[dict[str, Any]] = []
    for kind in KINDS:
        counts = {outcome: load.outcomes[kind, outcome] for outcome in outcomes}
        rows.append({'what': kind, 'requests': sum(counts.values()), **counts, 'value': None})
    cuts = statistics.quantiles(load.seconds, n=100)
    ratios = [a / b for a, b in zip(speeds['server'], speeds['in process'], strict=True)]
    values = {
        **{f'images/s, {name}': statistics.median(found) for name, found in speeds.items()},
        'server over in process': statistics.median(ratios),
        'ms, median': 1000 * cuts[49],
        'ms, 99 of 100': 1000 * cuts[98],
        'MB, early': early,
        'MB, late': late,
    }
    empty = dict.fromkeys(('requests', *outcomes))
    rows += [{'what': name, **empty, 'value': value} for name, value in values.items()]
    report(rows, args.json)
    if lost := sum(count for (_, outcome), count in load.outcomes.items() if outcome == 'lost'):
        raise SystemExit(f'{lost} request(s) were lost')


if __name__ == '__main__':
    main()
