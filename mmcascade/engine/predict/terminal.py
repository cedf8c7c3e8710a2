# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A prediction on the terminal: a bar with its speed and where images leave, and a summary."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from mmcascade.engine.predict.predict import PredictRequest, Tally, Watch


@contextmanager
def watching(stages: int) -> Iterator[Watch]:
    """A bar on the error stream; gives what is told of every batch.

    Args:
        stages: of the cascade.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = BarColumn(), MofNCompleteColumn(), TextColumn('{task.description}')
    start, before = time.monotonic(), None
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task('', total=None)

        def watch(tally: Tally) -> None:
            nonlocal before
            before = tally.images if before is None else before  # of earlier runs
            rate = (tally.images - before) / max(1e-9, time.monotonic() - start)
            exits = ' '.join(f'{100 * share:.0f}%' for share in tally.shares(stages))
            bar.update(
                task, completed=tally.images, total=tally.total, description=f'{rate:.0f} images/s, exits {exits}'
            )

        yield watch


def summary(request: PredictRequest, tally: Tally, stages: int) -> str:
    """What was written, in a line or two."""
    shares = ', '.join(f'{100 * share:.1f} % after stage {stage}' for stage, share in enumerate(tally.shares(stages)))
    parts = [f'{request.out}: {tally.images} image(s), {tally.accepted} accepted']
    if tally.errors:
        parts.append(f'{tally.errors} could not be read')
    lines = [', '.join(parts), f'left {shares}']
    return '\n'.join(lines)
