# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the tools share on a terminal: how they end when the user has to do something, and progress bars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmcascade.calibration.fit.calibration_file import CalibrationError
from mmcascade.engine.benchmark.timing import Progress as Report
from mmcascade.engine.loops.deferred_test_loop import BoundError
from mmcascade.models.cascade_model import NotReadyError
from mmcascade.models.members.checkpoints import CheckpointError

#: Always the user's to put right: files that are missing or do not fit, weights or a policy that were not given.
USER_ERRORS = (BoundError, CalibrationError, CheckpointError, FileNotFoundError, NotReadyError)


@contextmanager
def one_line_errors(
    *more: type[Exception], interrupted: str = 'the same command continues where it stopped'
) -> Iterator[None]:
    """End the program with one line, not with a traceback, where the user can put things right.

    Args:
        more: errors that are meant for users here, besides :data:`USER_ERRORS`.
        interrupted: what to say after Ctrl-C.
    """
    try:
        yield
    except (*USER_ERRORS, *more) as error:
        raise SystemExit(f'error: {error}') from None
    except KeyboardInterrupt:
        raise SystemExit(f'interrupted; {interrupted}') from None


@contextmanager
def progress_bar(what: str) -> Iterator[Report]:
    """A bar with a name; gives the function that is called with the number of finished and of all steps."""
    with Progress(TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)
