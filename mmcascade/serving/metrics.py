# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What Prometheus reads of a server."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mmcascade.runtime import Decision, Segmentation

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

_WORDS = {None: 'decided', True: 'accepted', False: 'rejected'}


class ServerMetrics:
    """Counters of one server, all labelled by the name of the bundle."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            'mmcascade_requests', 'Requests by status of the answer.', ['bundle', 'status'], registry=self.registry
        )
        self.images = Counter(
            'mmcascade_images',
            'Images decided on, by the stage they left after and by what became of them.',
            ['bundle', 'exit_stage', 'decision'],
            registry=self.registry,
        )
        self.cells = Counter(
            'mmcascade_cells',
            'Cells of images labelled, by the stage they left after and by what became of them.',
            ['bundle', 'exit_stage', 'decision'],
            registry=self.registry,
        )
        self.failures = Counter(
            'mmcascade_broken_images', 'Images that could not be read.', ['bundle'], registry=self.registry
        )
        self.macs = Counter('mmcascade_macs', 'Multiply-adds spent on images.', ['bundle'], registry=self.registry)
        self.latency = Histogram(
            'mmcascade_request_seconds',
            'Time from a request to its answer, by the deepest stage that it needed.',
            ['bundle', 'exit_stage'],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_size = Histogram(
            'mmcascade_batch_size',
            'Images that ran together.',
            ['bundle'],
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=self.registry,
        )
        self.batch_seconds = Histogram(
            'mmcascade_batch_seconds', 'Time of one batch.', ['bundle'], buckets=_SECONDS, registry=self.registry
        )
        self.waiting = Gauge('mmcascade_waiting_images', 'Images that wait.', ['bundle'], registry=self.registry)
        self.drift = Gauge(
            'mmcascade_share',
            'Share of the latest images that got to a stage or were accepted, beside what calibration saw.',
            ['bundle', 'of', 'source'],
            registry=self.registry,
        )
        self.drifted = Gauge(
            'mmcascade_drifted',
            '1 where such a share lies outside of what chance allows, else 0.',
            ['bundle', 'of'],
            registry=self.registry,
        )

    def decided(self, bundle: str, decisions: list[Decision], seconds: float) -> None:
        """Count the images of one answered request."""
        for decision in decisions:
            self.images.labels(bundle, decision.exit_stage, _WORDS[decision.accepted]).inc()
            self.macs.labels(bundle).inc(decision.macs)
        if decisions:
            self.latency.labels(bundle, max(decision.exit_stage for decision in decisions)).observe(seconds)

    def segmented(self, bundle: str, found: Segmentation, seconds: float) -> None:
        """Count the cells of one answered request."""
        for cell in found.cells:
            self.cells.labels(bundle, cell.exit_stage, _WORDS[cell.accepted]).inc()
        self.macs.labels(bundle).inc(found.macs)
        self.latency.labels(bundle, max(cell.exit_stage for cell in found.cells)).observe(seconds)

    def batch(self, bundle: str, size: int, seconds: float) -> None:
        """Count one batch."""
        self.batch_size.labels(bundle).observe(size)
        self.batch_seconds.labels(bundle).observe(seconds)

    def forget_drift(self) -> None:
        """Say nothing of drift until it is published again: other bundles may have other stages, or none to tell."""
        self.drift.clear()
        self.drifted.clear()

    def text(self) -> bytes:
        """All of it, as Prometheus wants it."""
        return generate_latest(self.registry)
