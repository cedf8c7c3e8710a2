# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is routed: units with their inputs, on their way in, waiting, and finished.

A new kind of input derives from ``Source`` and says what stacks and what a waiting unit must keep. A new field of a
unit goes into ``UnitBatch._pick``, ``cat`` and ``submitted``, or into the same of ``Outcome``: no other place builds
them. Queues are filled and emptied by ``routing.stream``.
"""
