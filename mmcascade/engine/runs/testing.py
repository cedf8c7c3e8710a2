# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One test of a config, as ``tools/test.py`` and every comparison run it."""

from __future__ import annotations

import copy
import gc
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.evaluator import DumpResults
from mmengine.fileio import dump
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import Runner

from mmcascade._system.files import check_writable, write_json, written_whole
from mmcascade._system.json_values import plain
from mmcascade._system.memory import keep_freed_memory
from mmcascade.datasets.broken_images import name_broken_images
from mmcascade.engine.configs.classes import check_dataset
from mmcascade.engine.configs.testing import EvalFlags, prepare_test
from mmcascade.engine.console.progress import progress_bar
from mmcascade.engine.hooks.curve_hook import CurveHook
from mmcascade.engine.hooks.progress_hook import ProgressHook
from mmcascade.engine.hooks.trackers import trackers_of
from mmcascade.engine.loops.deferred_test_loop import BoundError
from mmcascade.engine.runs.runner import build_runner, log_file
from mmcascade.models.parts.class_names import ClassesError


class SplitError(ValueError):
    """A test split that is empty, that cannot be read, or whose data loader has settings that do not fit."""


class _Predictions(DumpResults):
    """The pickle of all predictions, which is there whole or not at all."""

    def compute_metrics(self, results: list) -> dict:
        with written_whole(self.out_file_path, 'wb') as file:
            dump(results, file, file_format='pkl')
        return {}


@dataclass(frozen=True)
class Output:
    """What is written of a test.

    Attributes:
        metrics: path of a JSON file.
        predictions: path of a pickle.
    """

    metrics: str | None = None
    predictions: str | None = None


@dataclass(frozen=True)
class Tested:
    """A test that ran to its end.

    Attributes:
        metrics: by name.
        model: that was tested, without the wrapper of a distributed run.
        images: how many were tested.
        log: path of MMEngine's log.
    """

    metrics: dict[str, Any]
    model: BaseModel
    images: int
    log: str | None


def run_test(
    cfg: Config,
    flags: EvalFlags,
    output: Output | None = None,
    verbose: bool = False,
    started: Callable[[Runner], None] = lambda runner: None,
) -> Tested:
    """Test a config.

    Args:
        cfg: as read from ``flags.config_path``; changed in place.
        flags: how it is tested.
        output: what is written.
        verbose: show MMEngine's log in place of a progress bar.
        started: called once everything is built and checked.

    Raises:
        ValueError: of any kind, where the user can put something right.
    """
    keep_freed_memory()
    output = output or Output()
    for path in filter(None, (output.metrics, output.predictions)):
        check_writable(path)
    runner = build_runner(prepare_test(cfg, flags), verbose)
    if output.predictions:
        runner.test_evaluator.metrics.append(_Predictions(out_file_path=output.predictions))
    dataset = readable_split(runner)
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    check_dataset(model, dataset, 'test_dataloader.dataset')
    name_broken_images(dataset)
    started(runner)
    gc.collect()
    gc.freeze()  # what was imported and built stays, and need not be searched for garbage again and again
    with progress_bar('testing', shown=is_main_process() and not verbose) as progress:
        runner.register_hook(ProgressHook(progress))
        if trackers_of(runner.visualizer):
            runner.register_hook(CurveHook())
        metrics = runner.test()
    tell_trackers(runner, metrics)
    if output.metrics and is_main_process():
        write_json(output.metrics, plain(metrics), allow_nan=True)
    return Tested(metrics, model, len(dataset), log_file(runner))


def tell_trackers(runner: Runner, metrics: Mapping[str, Any]) -> None:
    """Hand what a test measured to the ``vis_backends`` of its config: TensorBoard, WandB, MLflow, a local file.

    MMEngine itself hands them what a training measures, and nothing of a test. What is no finite number is left out.
    """
    scalars = {name: float(value) for name, value in metrics.items() if _is_finite_number(value)}
    if scalars and is_main_process():
        runner.visualizer.add_scalars(scalars)


def _is_finite_number(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except (TypeError, ValueError):
        return False


def readable_split(runner: Runner) -> Any:
    """The built data set of the test split, once its data loader stands.

    Raises:
        SplitError: saying whether the data set or a setting of the loader is wrong.
        BoundError: from a DeferredTestLoop.
    """
    where = 'test_dataloader.dataset: check its annotations, its data_root and its split'
    try:
        dataset = runner.test_dataloader.dataset
    except (BoundError, ClassesError):  # of the loop, which is built with its data loader
        raise
    except (OSError, ZeroDivisionError, ValueError, IndexError, AssertionError, RuntimeError) as error:
        if _builds(runner):
            raise SplitError(f'test_dataloader has a setting that does not fit: {error}') from error
        raise SplitError(f'the test split cannot be read ({error}). See {where}') from error
    if not len(dataset):
        raise SplitError(f'the test split is empty. See {where}')
    return dataset


def _builds(runner: Runner) -> bool:
    """Whether the data set by itself is sound, so that its data loader is to blame."""
    try:
        with DefaultScope.overwrite_default_scope(runner.default_scope.scope_name):
            return len(DATASETS.build(copy.deepcopy(runner.cfg.test_dataloader.dataset))) > 0
    except Exception:  # whatever data sets raise
        return False
