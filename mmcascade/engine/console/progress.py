# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Progress bars, and lines that say what runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mmcascade._system.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

#: Characters of the shortest and of the longest bar, and of the numbers and the time behind it.
_BAR, _NUMBERS = (10, 40), 27
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

    console = Console(stderr=True)
    text, width = beside_a_bar(what, console.width)
    columns = TextColumn('{task.description}'), BarColumn(width), MofNCompleteColumn(), TimeRemainingColumn()
    with Bar(*columns, console=console, disable=not shown) as bar:
        task = bar.add_task(text, total=None)
        with hidden_if_empty(bar):
            yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def hidden_if_empty(bar: Bar) -> Iterator[None]:
    """A bar that was told nothing, since there was nothing to do or an error came first, does not stay."""
    try:
        yield
    finally:
        bar.live.transient = all(task.total is None for task in bar.tasks)


def beside_a_bar(what: str, width: int) -> tuple[str, int]:
    """A text and the width of the bar that stands beside it in one line with two numbers and a time.

    Args:
        what: the text; too long a one is cut.
        width: of the terminal.

    Example:
        >>> beside_a_bar('testing', 80), beside_a_bar('a text that is longer than its terminal', 50)
        (('testing', 40), ('a text tha...', 10))
    """
    room = width - _NUMBERS
    text = what if len(what) <= room - _BAR[0] else what[: max(room - _BAR[0] - 3, 0)] + '...'
    return text, max(_BAR[0], min(_BAR[1], room - len(text)))


def timed_say(name: str) -> Say:
    """Prints lines of progress with the name of what runs and the seconds since now."""
    start = time.monotonic()
    return lambda line: print(f'[{name} {time.monotonic() - start:4.0f} s] {line}', flush=True)
