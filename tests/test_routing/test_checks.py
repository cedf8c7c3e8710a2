# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from mmcascade.routing.checks import finite, fraction, is_finite, is_number, is_whole, number, whole

NO_NUMBERS = [True, False, np.bool_(True), None, '1', [1], 1j, 10**400, torch.tensor(1.0)]


@pytest.mark.parametrize('value', NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused_by_all(value):
    assert not is_number(value) and not is_finite(value)
    for check in (number, finite, fraction):
        with pytest.raises(ValueError, match='^x is a .*, got'):
            check(value, 'x')
    if not isinstance(value, int) or isinstance(value, bool):
        assert not is_whole(value)
        with pytest.raises(ValueError, match='^x is a whole number >= 0, got'):
            whole(value, 'x', 0)


@pytest.mark.parametrize('value', [0, 1, 0.5, np.float32(0.5), np.int64(1), Fraction(1, 2)])
def test_numbers_of_any_library_are_numbers(value):
    assert is_number(value) and is_finite(value)
    for check in (number, finite, fraction):
        found = check(value, 'x')
        assert type(found) is float and found == float(value)


@pytest.mark.parametrize('value', [1, 7, np.int64(3), np.uint8(3)])
def test_whole_numbers_come_back_as_int(value):
    assert is_whole(value) and is_whole(value, 1)
    found = whole(value, 'x', least=1)
    assert type(found) is int and found == int(value)


@pytest.mark.parametrize(('value', 'least'), [(0, 1), (1.0, 0), (np.float64(2), 0), (-1, 0), (math.nan, 0)])
def test_whole_numbers_have_their_type_and_a_bound(value, least):
    assert not is_whole(value, least)
    with pytest.raises(ValueError, match=f'^size is a whole number >= {least}, got .*; leave it out$'):
        whole(value, 'size', least, fix='leave it out')


def test_the_ends():
    assert number(math.inf, 'x') == math.inf and number(-math.inf, 'x') == -math.inf
    assert fraction(0, 'x') == 0 and fraction(1, 'x') == 1
    for value in (math.nextafter(0, -1), math.nextafter(1, 2), math.nan, math.inf):
        with pytest.raises(ValueError, match=r'^x is a fraction in \[0, 1\], got'):
            fraction(value, 'x')
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match='^x is a finite number, got'):
            finite(value, 'x')
    with pytest.raises(ValueError, match='^x is a number, got nan'):
        number(math.nan, 'x')


def test_messages_end_with_the_fix_or_with_what_was_given():
    for check, kind in ((finite, 'finite number'), (number, 'number'), (fraction, r'fraction in \[0, 1\]')):
        with pytest.raises(ValueError, match=f"^x is a {kind}, got '1'$"):
            check('1', 'x')
        with pytest.raises(ValueError, match=f"^x is a {kind}, got '1'; use 1$"):
            check('1', 'x', fix='use 1')
