# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Every curve says which of its arguments is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mmcascade.evaluation.curves import selective_curves as curves

CALLS: dict[str, Callable[..., Any]] = {
    'aurc': curves.aurc,
    'augrc': curves.augrc,
    'e_aurc': curves.e_aurc,
    'risk_coverage': curves.risk_coverage,
    'risk_at_coverage': lambda *arrays: curves.risk_at_coverage(*arrays, 0.5),
    'coverage_at_risk': lambda *arrays: curves.coverage_at_risk(*arrays, 0.5),
    'nearest_rank': lambda *arrays: curves.nearest_rank(*arrays, 0.5),
}


@pytest.mark.parametrize('name', CALLS)
def test_flags_of_another_length_and_other_numbers_are_those_of_error(name, monkeypatch):
    monkeypatch.setattr(curves, 'NEAREST_POINT_SKIP', 1)
    for error in ([0, 1], [0, 1, 2]):
        with pytest.raises(ValueError, match='^error '):
            CALLS[name]([3.0, 2.0, 1.0], error)
