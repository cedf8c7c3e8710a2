# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Progress bars, and lines that say what runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mmcascade._system.progress import Progress

#: Prints one line of progress.
Say = Callable[[str], None]


@contextmanager
def progress_bar(what: str, shown: bool = True) -> Iterator[Progress]:
    """A bar with a name on the error stream; gives the function that is called with the finished and all steps.

    Args:
        what: is running.
        shown: False for processes that are not the main one.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Bar(*columns, console=Console(stderr=True), disable=not shown) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def timed_say(name: str) -> Say:
    """Prints lines of progress with the name of what runs and the seconds since now."""
    start = time.monotonic()
    return lambda line: print(f'[{name} {time.monotonic() - start:4.0f} s] {line}', flush=True)
