# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a file of requirements asks for."""

from __future__ import annotations

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import ROOT


def required(part: str) -> dict[str, Requirement]:
    """Of ``requirements/PART.txt``, by the names of distributions."""
    lines = (ROOT / 'requirements' / f'{part}.txt').read_text().splitlines()
    needs = [Requirement(line) for line in lines if line and not line.startswith('#')]
    return {canonicalize_name(need.name): need for need in needs}
