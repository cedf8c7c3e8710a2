# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Numbers from configs and files, checked: True and False are no numbers, and those of numpy are."""

from __future__ import annotations

import math
import sys
from numbers import Integral, Real
from typing import Any


def is_number(value: Any) -> bool:
    """Whether a value is a real number that a float can hold, NaN and infinity included."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return not isinstance(value, Integral) or abs(int(value)) <= sys.float_info.max


def is_finite(value: Any) -> bool:
    """Whether a value is a real number that is neither NaN nor infinite."""
    return is_number(value) and math.isfinite(value)


def is_whole(value: Any, least: float = -math.inf) -> bool:
    """Whether a value is a whole number, by its type, and no smaller than another."""
    return isinstance(value, Integral) and is_number(value) and int(value) >= least


def whole(value: Any, name: str, least: int, fix: str = '') -> int:
    """The value, a whole number.

    Args:
        value: what was given.
        name: what it is, the subject of the message.
        least: the smallest that makes sense.
        fix: what else to do, the end of the message.

    Raises:
        ValueError: on another type, on True and False, and on smaller numbers.

    Example:
        >>> whole(3, 'batch_size', least=1)
        3
        >>> whole(0, 'batch_size', least=1)
        Traceback (most recent call last):
        ValueError: batch_size is a whole number >= 1, got 0
    """
    if not is_whole(value, least):
        raise ValueError(f'{name} is a whole number >= {least}, got {value!r}{_and(fix)}')
    return int(value)


def number(value: Any, name: str, fix: str = '') -> float:
    """The value, a number that may be infinite; ValueError on NaN and whatever is no number."""
    if not is_number(value) or math.isnan(value):
        raise ValueError(f'{name} is a number, got {value!r}{_and(fix)}')
    return float(value)


def finite(value: Any, name: str, fix: str = '') -> float:
    """The value, a number that is neither NaN nor infinite; ValueError on anything else."""
    if not is_finite(value):
        raise ValueError(f'{name} is a finite number, got {value!r}{_and(fix)}')
    return float(value)


def fraction(value: Any, name: str, fix: str = '') -> float:
    """The value, a number from 0 to 1, both included; ValueError on anything else."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ValueError(f'{name} is a fraction in [0, 1], got {value!r}{_and(fix)}')
    return float(value)


def _and(fix: str) -> str:
    return f'; {fix}' if fix else ''
