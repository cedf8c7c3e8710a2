# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What every kind of decision gives a table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from mmcascade.engine.predict.inputs import Item
from mmcascade.runtime import Failure

#: A row: plain values by the name of their column; a list or a dict in a column of that kind.
Row = dict[str, Any]

Result = TypeVar('Result')


@dataclass(frozen=True)
class Counted:
    """What a row adds to the tally.

    Attributes:
        exits: share of the image that left after each stage; None if it could not be read.
        accepted: whether it was; None where nothing is accepted or rejected.
    """

    exits: Mapping[int, float] | None = field(default_factory=dict)
    accepted: bool | None = None


class RowFormat(ABC, Generic[Result]):
    """The columns of a table, and how a decision fills them.

    A variant says the columns between 'path' and 'error', and what a decision puts into them.
    """

    @property
    @abstractmethod
    def own(self) -> dict[str, type]:
        """The columns of this kind of decision, each with the kind of its values."""

    @abstractmethod
    def filled(self, item: Item, result: Result) -> Row:
        """The values of these columns; what else is asked for of a decision, such as a file, is written now."""

    @abstractmethod
    def exits(self, row: Row) -> Mapping[int, float]:
        """Share of the image that left after each stage, read from a row without an error."""

    @property
    def columns(self) -> dict[str, type]:
        """All columns, in their order."""
        return {'path': str, **self.own, 'error': str}

    def row(self, item: Item, result: Result | Failure) -> Row:
        """The row of an image; a failure has its error, and nothing else."""
        empty: Row = dict.fromkeys(self.columns)
        if isinstance(result, Failure):
            return empty | {'path': item.key, 'error': result.error}
        return empty | {'path': item.key} | self.filled(item, result)

    def count(self, row: Row) -> Counted:
        """What a row adds to the tally, whichever run wrote it."""
        return Counted(None) if row['error'] is not None else Counted(self.exits(row), row.get('accepted'))
