# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A test run in which images wait across batches until a later stage has a full batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner, TestLoop
from mmengine.runner.amp import autocast
from mmengine.structures import BaseDataElement
from torch.utils.data import DataLoader

from mmcascade.engine.configs.classes import check_dataset
from mmcascade.engine.loops.kept_batches import KeptBatches
from mmcascade.models.cascades import cascade_of
from mmcascade.registry import LOOPS
from mmcascade.routing import Outcome
from mmcascade.routing.checks import is_whole
from mmcascade.routing.stream import Stream
from mmcascade.routing.units.sources import Source

_NAMES_SHOWN = 64


class BoundError(ValueError):
    """A bound on what waits makes no sense."""


@LOOPS.register_module()
class DeferredTestLoop(TestLoop):
    """Tests a cascade with full batches in every stage: ``test_cfg=dict(type='mmcascade.DeferredTestLoop')``.

    Images that go on wait until the next stage has its batch size (its own, or else the loader's, with all cells where
    images are cut into some); what still waits at the end runs in smaller batches. The decisions are those of the plain
    loop. Metrics and ``after_test_iter`` hooks get every loader batch in order, once its last image is finished. Every
    process of a distributed test does all this for itself.

    Args:
        runner, dataloader, evaluator, fp16: as for mmengine's TestLoop.
        max_waiting: most images between the loader and the metrics; beyond it, everything that waits runs at once.
        max_bytes: the same for the memory that they hold.
        keep_inputs: keep the images of a batch until its report. By default they stay only if a drawing hook needs
            them; a metric that reads them takes ``True``.

    Raises:
        TypeError: if the model is no cascade.
        BoundError: if a bound is no whole number >= 1, or smaller than a batch.
    """

    _kept: KeptBatches
    _stream: Stream

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list,
        fp16: bool = False,
        max_waiting: int = 16384,
        max_bytes: int = 2**30,
        keep_inputs: bool = False,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        cascade = cascade_of(runner.model)
        if cascade is None:
            raise TypeError(
                f'{type(runner.model).__name__} is no cascade, so there is nothing to defer; leave type= '
                'out of test_cfg'
            )
        self.cascade = cascade
        self.batch_size = self.dataloader.batch_size or getattr(self.dataloader.batch_sampler, 'batch_size', None)
        for name, bound in (('max_waiting', max_waiting), ('max_bytes', max_bytes)):
            if not is_whole(bound, least=1):
                raise BoundError(f'{name} of DeferredTestLoop is a whole number >= 1, got {bound!r}')
        self.max_waiting = max_waiting
        self.max_bytes = max_bytes
        self.keep_inputs = keep_inputs
        self._check_bounds()
        check_dataset(self.cascade, self.dataloader.dataset, 'test_dataloader.dataset')

    def run(self) -> dict:
        """Launch the test."""
        self.runner.call_hook('before_test')
        self.runner.call_hook('before_test_epoch')
        self.runner.model.eval()
        try:
            self._route_all()
        except BaseException:
            for metric in getattr(self.evaluator, 'metrics', ()):  # a later run would count them in
                metric.results.clear()
            raise
        metrics = self.evaluator.evaluate(len(self.dataloader.dataset))
        self.runner.call_hook('after_test_epoch', metrics=metrics)
        self.runner.call_hook('after_test')
        return metrics

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Take in one batch, and report every batch that it completes."""
        self.runner.call_hook('before_test_iter', batch_idx=idx, data_batch=data_batch)
        with autocast(enabled=self.fp16):
            batch = self.cascade.unpack(data_batch)
            self.cascade.ready(batch.sources)
            if idx == 0 and batch.sources:
                self._stream.check_views(batch.sources[0].count)
                self._check_bounds(batch.sources[0])
                # A loader batch of one image is all its cells, not one of them.
                self._stream.wait_for = self.batch_size and self.batch_size * max(batch.counts, default=1)
            if self.keep_inputs or any(needs_inputs(hook, batch.samples) for hook in self.runner.hooks):
                nbytes = sum(x.nbytes for source in batch.sources for x in source.tensors())
                self._kept.keep(idx, data_batch, batch.samples, batch.counts, nbytes)
            else:
                self._kept.keep(idx, without_inputs(data_batch), batch.samples, batch.counts)
            for source, numbers in batch.parts:
                self._stream.enqueue(source, numbers)
            outcomes = self._run(self._stream.run)
        self._report(outcomes)
        if self._kept.images > self.max_waiting or self._kept.nbytes + self._stream.waiting_bytes > self.max_bytes:
            self._flush()

    def _route_all(self) -> None:
        with torch.no_grad(), autocast(enabled=self.fp16):
            router = self.cascade.ready()
        self._kept = KeptBatches()
        with router.stream(wait_for=self.batch_size) as self._stream:
            for idx, data_batch in enumerate(self.dataloader):
                self.run_iter(idx, data_batch)
            self._flush()

    @torch.no_grad()
    def _flush(self) -> None:
        with autocast(enabled=self.fp16):
            outcomes = self._run(self._stream.flush)
        self._report(outcomes)

    def _report(self, outcomes: list[Outcome]) -> None:
        for batch, outcome in self._kept.finish(outcomes):
            self.cascade.write_results(outcome, batch.samples)
            self.evaluator.process(data_samples=batch.samples, data_batch=batch.data)
            self.runner.call_hook(
                'after_test_iter', batch_idx=batch.index, data_batch=batch.data, outputs=batch.samples
            )

    def _run(self, step: Callable[[], list[Outcome]]) -> list[Outcome]:
        try:
            return step()
        except Exception as error:
            running = self._stream.running
            if running is None:
                raise
            stage, tickets = running
            names = self._kept.names(tickets[:_NAMES_SHOWN])
            shown = ', '.join(names) + (', ...' if len(tickets) > _NAMES_SHOWN else '')
            raise RuntimeError(
                f'stage {stage} failed on a batch of {len(tickets)} {self.cascade.unit_name}(s): {shown}. The test '
                'ends without metrics; '
                f'{self._kept.images} images were not reported'
            ) from error

    def _check_bounds(self, source: Source | None = None) -> None:
        """Both bounds hold a batch of every stage; bytes are known from the first batch on."""
        for index, stage in enumerate(self.cascade.stages):
            size = stage.batch_size or self.batch_size or 1
            if self.max_waiting < size and stage.on == 'image':  # cells are no images
                raise BoundError(
                    f'max_waiting={self.max_waiting} is less than one batch of {size} images of stage '
                    f'{index}; raise it, or give the stage or the data loader a smaller batch size'
                )
            needed = 1
            if source is not None:
                needed = size * stage.waiting_bytes(source) * (len(source) if stage.by_source else 1)
            if self.max_bytes < needed:
                raise BoundError(
                    f'max_bytes={self.max_bytes} is less than the {needed} bytes of one batch of {size} '
                    f'{stage.on}s of stage {index}; raise it, or give the stage a smaller batch size'
                )


def needs_inputs(hook: Hook, samples: Sequence[BaseDataElement]) -> bool:
    """Whether a hook may read the images of a batch after it was tested.

    A hook can say so itself with a method ``needs_inputs(samples)``. Of the others, those of mmengine do not, nor do
    drawing hooks that are switched off; what is not known is believed to need them.
    """
    if hasattr(hook, 'needs_inputs'):
        return hook.needs_inputs(samples)
    kind = type(hook)
    listens = kind.after_test_iter is not Hook.after_test_iter or kind._after_iter is not Hook._after_iter
    return listens and not kind.__module__.startswith('mmengine.') and getattr(hook, 'enable', True)


def without_inputs(data_batch: Any) -> Any:
    """The batch as the data loader gave it, without its images."""
    if isinstance(data_batch, dict):
        return {key: value for key, value in data_batch.items() if key != 'inputs'}
    return [None, *data_batch[1:]]
