# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Reading numbers out of the data samples that a model returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def required_field(sample: Mapping[str, Any], field: str, fix: str) -> Any:
    """Return a field of a data sample.

    Args:
        sample: A data sample as a dictionary.
        field: The field to read.
        fix: What the user can do about a missing field.

    Raises:
        ValueError: If the field is missing or None; names the sample's image if it has one.
    """
    value = sample.get(field)
    if value is None:
        raise ValueError(f'{sample_name(sample)} has no {field!r}; {fix}')
    return value


def require_number(sample: Mapping[str, Any], field: str, fix: str) -> float:
    """Return a field that is a number, or a tensor or array of one element, as a float.

    Raises:
        ValueError: If the field is missing, None or holds several numbers.
    """
    value = required_field(sample, field, fix)
    try:
        return float(value.item() if hasattr(value, 'item') else value)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f'{field!r} of {sample_name(sample)} must be one number, got {value!r}; {fix}') from error


def sample_name(sample: Mapping[str, Any]) -> str:
    """How an error calls a data sample: by its image, if it has one."""
    return f'the data sample of {sample["img_path"]}' if sample.get('img_path') else 'a data sample'


def percent_name(fraction: float) -> str:
    """A target in percent as metric keys write it: 0.05 -> '5', 0.025 -> '2.5'."""
    return f'{100 * fraction:g}'


def target_list(targets: Sequence[float], name: str) -> Sequence[float]:
    """Return targets of a metric, which are a sequence also where there is only one.

    Raises:
        TypeError: If they are none.
    """
    if not isinstance(targets, Sequence) or isinstance(targets, str):
        raise TypeError(f'{name} must be a sequence of fractions such as (0.05, 0.1), got {targets!r}')
    return targets
