# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is handed in to a cascade: inputs whose rows are units."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

#: The views of some units: one tensor per view, units along dimension 0.
Views = Sequence[Tensor | None]

#: The numbers of a source's units in the data set; None = those of their order.
UnitNumbers = Sequence[int] | np.ndarray | None


class Source(ABC):
    """Inputs that were handed in together. Base class: a variant says how long it is and what a waiting unit needs.

    Attributes:
        group: only units of equal group can be stacked.
        count: number of views.
    """

    group: Hashable = None
    count: int

    @abstractmethod
    def __len__(self) -> int:
        """How many units it holds."""

    def check_length(self, units: int) -> None:
        """Raise ValueError unless it holds so many units."""
        if len(self) != units:
            raise ValueError(f'a source of {len(self)} units was handed in with the numbers of {units}')

    @abstractmethod
    def unit_bytes(self, views: Iterable[int]) -> int:
        """Memory of what one unit needs of some views."""

    @abstractmethod
    def keep(self, rows: np.ndarray, views: set[int]) -> tuple[Source, np.ndarray]:
        """A source that holds no more than some waiting units need of some views, and their rows in it."""

    def trim(self, rows: np.ndarray, views: set[int]) -> tuple[Source, np.ndarray]:
        """The same without what units that wait no longer need, where it can be parted; else the source itself."""
        return self, rows

    @abstractmethod
    def tensors(self) -> list[Tensor]:
        """What it keeps in memory."""


#: The kind of source that some units come from.
SourceT = TypeVar('SourceT', bound=Source)


class ViewRows(Source):
    """One tensor per view; row r of each belongs to unit r. A view that is no longer needed is None.

    Args:
        views: the tensors.
        group: by default the shapes of the rows; units that wait keep that of what was handed in.
    """

    def __init__(self, views: Views, group: Hashable = None) -> None:
        self.views = list(views)
        self.count = len(self.views)
        self.group = tuple(view.shape[1:] for view in self.views if view is not None) if group is None else group

    def __len__(self) -> int:
        return next((len(view) for view in self.views if view is not None), 0)

    def check_length(self, units: int) -> None:
        """Raise ValueError unless every view has a row per unit."""
        counts = {len(view) for view in self.views if view is not None}  # none at all in a replay
        if counts - {units}:
            raise ValueError(
                f'all views and the list of units hold the same number of units, got {units} and {sorted(counts)}'
            )

    def unit_bytes(self, views: Iterable[int]) -> int:
        """How much memory a waiting unit holds on to."""
        tensors = [self.views[view] for view in views]
        return sum(x[0].nbytes for x in tensors if x is not None and len(x))

    def take(self, view: int, rows: np.ndarray) -> Tensor:
        """Some rows of a view, by ascending number, where the view lies; neighbours are not copied."""
        tensor = self.views[view]
        assert tensor is not None, 'a view that no later stage reads was dropped'
        if len(rows) == len(tensor):
            return tensor  # rows ascend without repeats, so these are all of them
        first, stop = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
        if stop - first == len(rows):
            return tensor[first:stop]
        return tensor.index_select(0, torch.as_tensor(rows).to(tensor.device))

    def keep(self, rows: np.ndarray, views: set[int]) -> tuple[ViewRows, np.ndarray]:
        """A copy of what some units still need, and their new rows."""
        # Copies: a slice would keep everything in memory for as long as one of its units waits.
        count = 1 + max(views, default=-1)
        kept = [self.take(k, rows) if k in views else None for k in range(count)]
        copies = [view if view is None or not self._shares(k, view) else view.clone() for k, view in enumerate(kept)]
        return ViewRows(copies, self.group), np.arange(len(rows))

    def trim(self, rows: np.ndarray, views: set[int]) -> tuple[ViewRows, np.ndarray]:
        """Itself where every row and view is needed; else a copy of what is."""
        dropped = any(view is not None and k not in views for k, view in enumerate(self.views))
        return self.keep(rows, views) if dropped or len(rows) < len(self) else (self, rows)

    def _shares(self, view: int, rows: Tensor) -> bool:
        """Whether rows that were taken lie in the memory of their view."""
        whole = self.views[view]
        return whole is not None and rows.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()

    def tensors(self) -> list[Tensor]:
        """All tensors that it holds."""
        return [view for view in self.views if view is not None]
