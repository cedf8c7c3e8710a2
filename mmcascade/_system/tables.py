# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One table for the terminal, for log files and for Markdown pages."""

from __future__ import annotations

import io
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

#: Between two columns of text, and at both ends of a line.
_GAP, _EDGE = 3, 1
#: A title breaks into at most so many lines.
_TITLE_LINES = 3
#: SI prefixes of large numbers, the largest first.
SCALES = ((1e12, 'T'), (1e9, 'G'), (1e6, 'M'), (1e3, 'k'))


@dataclass(frozen=True)
class Column:
    """How the values below one title are written.

    Attributes:
        title: with the unit, such as 'top-1 %'.
        form: format of numbers, such as '.2f'; texts are taken as they are.
        factor: numbers are multiplied by it, such as 1e3 from G to M.
        missing: what stands for None and NaN.
        left: text that starts at the left; numbers end at the right.
    """

    title: str
    form: str = ''
    factor: float = 1
    missing: str = '-'
    left: bool = False

    def text(self, value: Any) -> str:
        """One value as it is shown."""
        if value is None or value != value:
            return self.missing
        if isinstance(value, (str, bool)):
            return str(value)
        return format(value if self.factor == 1 else self.factor * value, self.form)


@dataclass(frozen=True)
class Table:
    """Columns and the values below them, one row each.

    Attributes:
        columns: the first one names the rows.
        rows: each with one value per column.

    Example:
        >>> table = Table.of(['system', Column('top-1 %', '.2f')], [['member', 90], ['cascade', None]])
        >>> print(table.as_markdown())
        | system | top-1 % |
        | --- | ---: |
        | member | 90.00 |
        | cascade | - |
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(cls, columns: Sequence[Column | str], rows: Sequence[Sequence[Any]]) -> Table:
        """From columns or their titles; of titles, the first starts at the left and the others end at the right.

        Raises:
            ValueError: if a row has another number of values than there are columns.
        """
        for row in rows:
            if len(row) != len(columns):
                raise ValueError(f'a row has {len(row)} values for {len(columns)} columns: {row!r}')
        made = [c if isinstance(c, Column) else Column(c, left=not i) for i, c in enumerate(columns)]
        return cls(tuple(made), tuple(tuple(row) for row in rows))

    @property
    def titles(self) -> list[str]:
        """Of the columns, in order."""
        return [column.title for column in self.columns]

    def texts(self) -> list[list[str]]:
        """Every row as it is shown, without the titles."""
        return [[column.text(value) for column, value in zip(self.columns, row, strict=True)] for row in self.rows]

    def as_markdown(self) -> str:
        """For a page in Markdown."""
        rule = ['---' if column.left else '---:' for column in self.columns]
        return '\n'.join('| ' + ' | '.join(line) + ' |' for line in (self.titles, rule, *self.texts()))

    def as_text(self, width: int = 80) -> str:
        """Plain text of lines of at most ``width`` characters.

        Titles break between words. Columns for which there is no room follow below, beside the names of the rows once
        more; only texts that are too long by themselves break.
        """
        return '\n\n'.join(self._block(block, width) for block in self._blocks(width))

    def __str__(self) -> str:
        return self.as_text(terminal_width())

    def show(self) -> None:
        """Print it as wide as the terminal allows."""
        print(self, flush=True)

    def _blocks(self, width: int) -> Iterator[list[int]]:
        """Numbers of the columns that stand beside each other."""
        least = [_least_width(column.title, texts) for column, *texts in self._by_column()]
        block, used = [0], 2 * _EDGE + least[0]
        for index, wanted in enumerate(least[1:], 1):
            if len(block) > 1 and used + _GAP + wanted > width:
                yield block
                block, used = [0], 2 * _EDGE + least[0]
            block.append(index)
            used += _GAP + wanted
        yield block

    def _by_column(self) -> Iterator[tuple[Any, ...]]:
        texts = self.texts()
        for index, column in enumerate(self.columns):
            yield (column, *(row[index] for row in texts))

    def _block(self, indexes: Sequence[int], width: int) -> str:
        from rich import box, table
        from rich.console import Console

        shown = table.Table(box=box.SIMPLE_HEAD, show_edge=False)
        texts = self.texts()
        for index, characters in zip(indexes, self._widths(indexes, width), strict=True):
            column = self.columns[index]
            shown.add_column(
                column.title, justify='left' if column.left else 'right', overflow='fold', width=characters
            )
        for row in texts:
            shown.add_row(*(row[index] for index in indexes))
        file = io.StringIO()
        Console(file=file, width=width, markup=False, emoji=False, highlight=False).print(shown)
        return '\n'.join(line.rstrip() for line in file.getvalue().rstrip('\n').split('\n'))

    def _widths(self, indexes: Sequence[int], width: int) -> list[int]:
        """Characters of each column of a block: what it needs, then what its title wants as far as there is room."""
        columns = list(self._by_column())
        least = [_least_width(columns[index][0].title, columns[index][1:]) for index in indexes]
        room = width - 2 * _EDGE - _GAP * (len(indexes) - 1)
        while sum(least) > room and max(least) > 1:  # a text that is too long by itself
            least[least.index(max(least))] -= 1
        for place in sorted(range(len(indexes)), key=lambda place: len(columns[indexes[place]][0].title)):
            wanted = len(columns[indexes[place]][0].title) - least[place]
            least[place] += max(0, min(wanted, room - sum(least)))
        return least


def terminal_width() -> int:
    """Characters in a line of the terminal; 80 where there is none."""
    from rich.console import Console

    return Console().width


def print_lines(lines: Iterable[str]) -> None:
    """Print statements; on a terminal each breaks between words where the line ends, with what follows set in."""
    width = terminal_width() if sys.stdout.isatty() else 0
    print('\n'.join(wrapped(line, width) for line in lines), flush=True)


def wrapped(line: str, width: int) -> str:
    """A statement in lines of at most ``width`` characters; words that are longer, such as paths, stay whole.

    Example:
        >>> print(wrapped('of two members the first is cheaper', 20))
        of two members the
          first is cheaper
    """
    if len(line) <= width or not width:
        return line
    return textwrap.fill(line, width, subsequent_indent='  ', break_long_words=False, break_on_hyphens=False)


def with_prefix(value: float, digits: int = 4) -> str:
    """A number with the SI prefix that keeps it short: 384879248 is '384.9 M'.

    Example:
        >>> with_prefix(384879248), with_prefix(12), with_prefix(2.5e10, 3)
        ('384.9 M', '12', '25 G')
    """
    for scale, prefix in SCALES:
        if abs(value) >= scale:
            return f'{value / scale:.{digits}g} {prefix}'
    return f'{value:.{digits}g}'


def without_prefix(text: str) -> float:
    """The number of a text that may end with an SI prefix: what :func:`with_prefix` writes, read again.

    Raises:
        ValueError: if it is no such number.

    Example:
        >>> without_prefix('384.9 M'), without_prefix('25G'), without_prefix('3e8')
        (384900000.0, 25000000000.0, 300000000.0)
    """
    text = text.strip()
    scale = {prefix: scale for scale, prefix in SCALES}.get(text[-1:], 1)
    return scale * float(text if scale == 1 else text[:-1])


def with_interval(estimate: float, low: float, high: float, form: str = '.2f', factor: float = 1) -> str:
    """An estimate with its interval in brackets.

    Example:
        >>> with_interval(0.012, -0.0001, 0.02, '+.1f', 100)
        '+1.2 (+0.0 to +2.0)'
    """
    sign = '+' if form.startswith('+') else ''
    form = f'{sign}z{form.removeprefix(sign)}'  # no -0.0
    estimate, low, high = (format(factor * value, form) for value in (estimate, low, high))  # type: ignore[assignment]
    return f'{estimate} ({low} to {high})'


def _least_width(title: str, texts: Sequence[str]) -> int:
    """What a column needs where its title takes a few lines and no other text breaks."""
    least = max([max((len(word) for word in title.split()), default=1), *map(len, texts)])
    while len(textwrap.wrap(title, least)) > _TITLE_LINES:
        least += 1
    return least
