# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
from mmengine.registry import Registry

from mmcascade.registry import register_unavailable


def test_a_config_learns_why_a_class_cannot_be_built():
    registry = Registry('thing', scope='mmcascade')
    cause = AssertionError('mmcv is too new')
    register_unavailable(registry, 'Thing', 'mmseg', cause)
    with pytest.raises(ImportError, match='Thing needs mmseg, and importing it failed: .*mmcv is too new') as raised:
        registry.build(dict(type='Thing', size=3))
    assert raised.value.__cause__ is cause
