# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How a tool ends when its user has to do something: with one line, not with a traceback."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mmcascade._system.extras import install_hint
from mmcascade.engine.console.arguments import RESUMES

INTERRUPTED = 130  # what shells report of a program that Ctrl-C ended
#: Set to anything, it shows the traceback of every error.
TRACEBACK = 'MMCASCADE_TRACEBACK'


@contextmanager
def one_line_errors(interrupted: str = RESUMES) -> Iterator[None]:
    """End the program with one line where the user can put things right, and with 130 after Ctrl-C.

    Errors of ours, ValueErrors, errors of files, and whatever goes wrong while a config is read and its parts are
    built, are for users. What is left is our fault, and keeps its traceback.

    Args:
        interrupted: what to say after Ctrl-C.
    """
    logging.raiseExceptions = False  # a log on a disk that is full is no reason for a traceback per line
    with _interrupts() as came:
        try:
            yield
        except KeyboardInterrupt:
            _end(interrupted)
        except Exception as error:
            if came.is_set():  # libraries turn it into errors of theirs
                _end(interrupted)
            message = explained(error)
            if message is None or os.environ.get(TRACEBACK):
                raise
            raise SystemExit(f'error: {message}') from None


def explained(error: BaseException) -> str | None:
    """What to tell the user of an error, or None if it is nobody's but ours."""
    text = _text(error)
    if type(error).__module__.partition('.')[0] == 'mmcascade' or isinstance(error, (ValueError, OSError)):
        return text
    if isinstance(error, ImportError):
        return text if 'pip install' in text else text + install_hint((error.name or '').partition('.')[0])
    from mmcascade.engine.console.config_errors import config_error

    return config_error(error)


def _text(error: BaseException) -> str:
    """The message, without the traceback that a worker process of a data loader wraps it in."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f'{error.filename}: {error.strerror}'
    text = str(error)
    if text.startswith('Caught ') and 'Original Traceback' in text:
        _, _, text = text.partition('Original Traceback')
        raised = list(re.finditer(r'^[\w.]*(?:Error|Exception|Warning|Exit)\b:? ?', text, re.MULTILINE))
        text = text[raised[-1].end() :].strip() if raised else text.strip().rpartition('\n')[2]
    return text.strip() or type(error).__name__


def _end(interrupted: str) -> None:
    import sys

    print(f'interrupted; {interrupted}', file=sys.stderr, flush=True)
    raise SystemExit(INTERRUPTED) from None


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Remember that Ctrl-C came, whatever becomes of its exception on the way."""
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def remember(number: int, frame: FrameType | None) -> None:
        came.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)
