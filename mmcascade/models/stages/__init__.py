# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A member applied to a view of the input: what the router runs.

A kind of stage derives from ``MemberStage`` and says which images its member sees, to whom the scores belong, and what
it is called. It decides nothing and adds up no cost: that is ``routing``. What is computed is a network of
``runtimes.networks``; stages are built from configs by ``models.parts``.
"""
