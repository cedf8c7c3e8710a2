# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A test loop in which images wait across batches until a later stage has a full batch.

``DeferredTestLoop`` drives the stream of the router and reports batches in the loader's order; ``KeptBatches`` holds
them meanwhile, within the bounds of the loop. Which image goes on, and what it costs, is decided in ``routing``: a
cascade gives the same results in any loop. A loop registers itself in ``LOOPS`` and is imported below.
"""

from mmcascade._system.extras import require

require('mmengine', 'mmcascade.engine')

from mmcascade.engine.loops.deferred_test_loop import DeferredTestLoop  # noqa: E402

__all__ = ['DeferredTestLoop']
