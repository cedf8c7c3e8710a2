# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Test loops."""

from mmcascade.engine.loops.deferred_test_loop import DeferredTestLoop

__all__ = ['DeferredTestLoop']
