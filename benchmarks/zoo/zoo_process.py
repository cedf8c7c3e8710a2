# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Jobs in processes of their own with a time limit, and the rows that an earlier run left."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import re
import resource
import signal
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Row = dict[str, Any]

_PATIENCE = 20


def alone(job: Callable[[], Any], seconds: float) -> Row:
    """What a job gives in a process of its own, which ends when its time is up."""
    here, there = multiprocessing.get_context('fork').Pipe(duplex=False)
    process = multiprocessing.get_context('fork').Process(target=_child, args=(job, there, seconds))
    process.start()
    there.close()
    try:
        # Its time is that of the processor; a process that only waits ends, too.
        answer: Row = here.recv() if here.poll(_PATIENCE * seconds) else ended('time', 'waited for something')
    except EOFError:
        process.join()
        late = process.exitcode == -signal.SIGXCPU
        answer = ended('time', f'more than {seconds:g} s') if late else ended('fault', 'the process died')
    process.kill()
    process.join()
    return answer


def ended(status: str, reason: str) -> Row:
    """How a job ended that gives nothing."""
    # Where a library is installed is nobody's business but this machine's.
    return {'status': status, 'reason': re.sub(r'/\S*/site-packages/', '', reason)}


def rows_before(path: str | None, again: list[str]) -> list[Row]:
    """The rows of an earlier run, without those of a status that is to be tried again."""
    if not path or not Path(path).is_file():
        return []
    return [row for row in json.loads(Path(path).read_text())['rows'] if row['status'] not in again]


def _child(job: Callable[[], Any], answer: Connection, seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 1))
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    warnings.simplefilter('ignore')
    try:
        answer.send(job())
    except Exception as error:  # the kind of what fails is what is looked for
        answer.send(ended('fault', f'{type(error).__name__}: {error}'[:300]))
