# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Values as JSON has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any


def plain(value: Any) -> Any:
    """Metrics as JSON has them: plain numbers, lists and texts, and null for NaN."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if hasattr(value, 'tolist'):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, Real) and not isinstance(value, bool):
        return None if math.isnan(value) else float(value)
    return value if isinstance(value, (bool, str)) or value is None else str(value)
