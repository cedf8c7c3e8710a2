# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What libraries say and nobody can act on is not said."""

from __future__ import annotations

import warnings

import pytest

from mmcascade._system.quiet import quiet_libraries


def test_the_loss_of_a_member_that_is_never_trained_here_is_not_spoken_of():
    losses = pytest.importorskip('mmseg.models.losses')
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        quiet_libraries()
        losses.CrossEntropyLoss()
        warnings.warn('something else', UserWarning, stacklevel=1)
    assert [str(one.message) for one in said] == ['something else']
