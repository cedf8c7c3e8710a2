# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The cells of an image: where they lie, the crops that members are run on, and the results pasted back.

``Grid`` and ``Crops`` add tensors to those of ``runtime.decision.grid``, where the places are worked out for bundles,
too. ``Choice`` and ``cover`` find the crops of neighbouring cells that cost least; ``TiledImage`` is the source that
the router sees. Members are run in ``models.stages``; which cells go on is decided by ``routing``.
"""
