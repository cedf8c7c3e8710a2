# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The sample inputs of a bundle, and what they were promised to give."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mmcascade.runtime.errors import BundleError
from mmcascade.runtime.fields import Fields, short

#: Folder of sample inputs, and the file in it with the decisions that they must give.
SAMPLES, DECISIONS = 'samples', 'decisions.json'
_MAX_NAME = 200


@dataclass(frozen=True)
class Check:
    """How the samples of a bundle came out.

    Attributes:
        samples: how many there are.
        largest_difference: of their confidences to those that were promised.
    """

    samples: int
    largest_difference: float


def read_samples(folder: Path) -> list[tuple[Path, Fields]]:
    """The samples of a bundle's folder with what was promised of each.

    Raises:
        BundleError: if there are none, or they are none.
    """
    try:
        data = json.loads((folder / SAMPLES / DECISIONS).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, 'strerror', None) or error
        raise BundleError(f'the samples of {folder} cannot be read ({SAMPLES}/{DECISIONS}: {why})') from error
    entries = list(Fields({'samples': data}, DECISIONS).objects('samples'))
    names = [entry.text('file') for entry in entries]
    wrong = [name for name in names if '/' in name or '\\' in name or name.startswith('.') or len(name) > _MAX_NAME]
    if not names or wrong:
        raise BundleError(f'{DECISIONS} names files beside it, at least one, got {short((wrong or names)[:5])}')
    return [(folder / SAMPLES / name, entry) for name, entry in zip(names, entries, strict=True)]


def agree(name: str, field: str, given: object, promised: object) -> None:
    """Raise BundleError if what a sample gives is not what was promised."""
    if given != promised:
        raise BundleError(f'sample {name}: {field} is {given}, and {short(promised)} was promised')


def difference(name: str, promised: float, given: float, tolerance: float) -> float:
    """How far a confidence is from the promised one.

    Raises:
        BundleError: if it is farther than the tolerance.
    """
    found = abs(promised - given)
    if not found <= tolerance:
        raise BundleError(f'sample {name}: confidence is {given:.6f}, and {promised:.6f} was promised')
    return found
