# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What takes the place of the objects that an mmengine Runner saves beside the weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


class Inert:
    """Takes the place of an object in a checkpoint: accepts any arguments and state, keeps none."""

    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        """Take whatever the pickle gives, and keep nothing."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Drops the state."""


# What a Runner saves beside the weights, by the name the pickle calls it. ConfigDict becomes a
# plain dict, since class names may lie in one. `getattr` is how a pickle names a method.
_STAND_INS: dict[str, type] = {
    'mmengine.config.config.ConfigDict': dict,
    **dict.fromkeys(
        [
            'builtins.getattr',
            'builtins.slice',
            'mmengine.config.config.Config',
            'mmengine.logging.history_buffer.HistoryBuffer',
            'mmengine.logging.message_hub.MessageHub',
            'mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler',
            'numpy.dtype',
            'numpy.ndarray',
            # numpy 1 and numpy 2
            'numpy.core.multiarray._reconstruct',
            'numpy.core.multiarray.scalar',
            'numpy._core.multiarray._reconstruct',
            'numpy._core.multiarray.scalar',
        ],
        Inert,
    ),
}


@contextlib.contextmanager
def stand_ins() -> Iterator[None]:
    """Admits the stand-ins for one load, also over real objects that others have admitted."""
    admitted = torch.serialization.get_safe_globals()
    others = [entry for entry in admitted if _pickled_name(entry) not in _STAND_INS]
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals([*others, *((stand_in, name) for name, stand_in in _STAND_INS.items())])
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(admitted)


def _pickled_name(entry: Any) -> str:
    return entry[1] if isinstance(entry, tuple) else f'{entry.__module__}.{entry.__qualname__}'
