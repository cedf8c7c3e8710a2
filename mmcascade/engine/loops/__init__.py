# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Test loops."""

from mmcascade._system.extras import require

require('mmengine', 'mmcascade.engine')

from mmcascade.engine.loops.deferred_test_loop import DeferredTestLoop  # noqa: E402

__all__ = ['DeferredTestLoop']
