# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Tables hold what they were given at every width, and no line is wider than the terminal."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade._system.tables import Column, Table, print_lines, with_interval, with_prefix, wrapped

WORDS = st.text('abcdefghij_%@', min_size=1, max_size=12)


@given(
    titles=st.lists(st.lists(WORDS, min_size=1, max_size=4).map(' '.join), min_size=2, max_size=12),
    rows=st.integers(0, 4),
    width=st.integers(60, 200),
    data=st.data(),
)
def test_no_line_is_wider_and_nothing_is_lost(titles, rows, width, data):
    values = [[data.draw(WORDS) for _ in titles] for _ in range(rows)]
    text = Table.of(titles, values).as_text(width)
    assert max(map(len, text.splitlines())) <= width
    for value in (word for row in values for word in row):
        assert value in text, 'a short text is never broken'


def test_columns_without_room_follow_below_beside_the_names():
    table = Table.of(['system', *(f'column {k}' for k in range(12))], [['first', *range(12)], ['second', *range(12)]])
    blocks = table.as_text(60).split('\n\n')
    assert len(blocks) > 1
    assert all('first' in block and 'second' in block for block in blocks)
    assert re.findall(r'\b\d+\b', ' '.join(b.splitlines()[-1] for b in blocks)) == [str(k) for k in range(12)]
    assert len(table.as_text(300).split('\n\n')) == 1


def test_a_text_that_is_too_long_by_itself_breaks():
    chain = ' > '.join(['member@0'] * 20)
    text = Table.of(['chain', 'cost'], [[chain, '1 M']]).as_text(80)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count('member@0') == 20 and '1 M' in text


def test_values_have_the_form_of_their_column():
    column = Column('MMACs', '.1f', factor=1e3, missing='n/a')
    assert [column.text(value) for value in (0.25, None, math.nan, 'text', True)] == [
        '250.0',
        'n/a',
        'n/a',
        'text',
        'True',
    ]


def test_markdown_has_a_row_for_each_and_numbers_to_the_right():
    table = Table.of(['name', Column('value', '.2f')], [['a', 1], ['b', None]])
    assert table.as_markdown().splitlines() == [
        '| name | value |',
        '| --- | ---: |',
        '| a | 1.00 |',
        '| b | - |',
    ]


def test_rows_of_another_length_are_refused():
    with pytest.raises(ValueError, match='a row has 1 values for 2 columns'):
        Table.of(['a', 'b'], [['x']])


@pytest.mark.parametrize(
    'value, text', [(0, '0'), (999, '999'), (1e3, '1 k'), (2.43538e6, '2.435 M'), (3.1e9, '3.1 G'), (5e12, '5 T')]
)
def test_numbers_get_the_prefix_that_keeps_them_short(value, text):
    assert with_prefix(value) == text


def test_intervals():
    assert with_interval(0.5, 0.25, 0.75, '.0f', 100) == '50 (25 to 75)'
    assert with_interval(-0.0004, -0.01, 0.0004, '+.1f', 100) == '+0.0 (-1.0 to +0.0)'
    assert with_interval(-0.001, -0.3, 0.2) == '0.00 (-0.30 to 0.20)'


@settings(deadline=None)
@given(st.lists(st.text('ab-/', min_size=1, max_size=30), min_size=1, max_size=20), st.integers(10, 90))
def test_statements_break_between_words_only(words, width):
    text = wrapped(' '.join(words), width)
    assert text.split() == words
    assert all(len(line) <= width or len(line.split()) == 1 for line in text.splitlines())


def test_statements_are_left_alone_where_no_terminal_is(capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '20')
    print_lines(['a statement of more than twenty characters'])
    assert capsys.readouterr().out == 'a statement of more than twenty characters\n'
    monkeypatch.setattr('sys.stdout.isatty', lambda: True)
    print_lines(['a statement of more than twenty characters', 'short'])
    assert capsys.readouterr().out.splitlines() == ['a statement of more', '  than twenty', '  characters', 'short']


def test_printed_it_is_the_table(capsys):
    table = Table.of(['system', 'cost'], [['small', '1'], ['large', '2']])
    print(table)
    printed = capsys.readouterr().out
    table.show()
    assert printed == capsys.readouterr().out and printed.splitlines()[2].split() == ['small', '1']
