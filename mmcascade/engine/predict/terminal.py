# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A prediction on the terminal: a bar with its speed and where images leave, and a summary."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmcascade.engine.console.progress import beside_a_bar, hidden_if_empty
from mmcascade.engine.predict.deciders.decider import Decider
from mmcascade.engine.predict.predict import Tally, Watch
from mmcascade.engine.predict.request import PredictRequest


@contextmanager
def watching(stages: int) -> Iterator[Watch]:
    """A bar on the error stream; gives what is told of every batch.

    Args:
        stages: of the cascade.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    _, width = beside_a_bar('10000 images/s, exits' + stages * ' 100%', console.width)
    columns = BarColumn(width), MofNCompleteColumn(), TextColumn('{task.description}')
    start, before = time.monotonic(), None
    with Progress(*columns, console=console) as bar:
        task = bar.add_task('', total=None)

        def watch(tally: Tally) -> None:
            nonlocal before
            before = tally.images if before is None else before  # of earlier runs
            rate = (tally.images - before) / max(1e-9, time.monotonic() - start)
            exits = ' '.join(f'{100 * share:.0f}%' for share in tally.shares(stages))
            bar.update(
                task, completed=tally.images, total=tally.total, description=f'{rate:.0f} images/s, exits {exits}'
            )

        with hidden_if_empty(bar):
            yield watch


def summary(request: PredictRequest, tally: Tally, decider: Decider[Any]) -> str:
    """What was written, in a line or two."""
    exits = enumerate(tally.shares(decider.stages))
    told = ', '.join(f'{100 * share:.1f} % after stage {stage}' for stage, share in exits)
    parts = [f'{request.out}: {tally.images} image(s)']
    if decider.accepts:
        parts[0] += f', {tally.accepted} accepted'
    if tally.errors:
        parts.append(f'{tally.errors} could not be read')
    lines = [', '.join(parts), f'left {told}']
    folders = {'label maps': request.maps_to, 'rejected images': request.rejected_to}
    lines += [f'{what} in {folder}' for what, folder in folders.items() if folder is not None and folder.is_dir()]
    return '\n'.join(lines)
