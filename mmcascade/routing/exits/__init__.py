# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a network leaves behind at one of its exits for a later one: trees of tensors with a row per unit.

It stands below ``fusion`` and ``units``, which both carry an ``ExitState``, and imports torch alone. What a network
keeps in its trees is its own affair (``models.members.exits``); here they are only cut, joined and forgotten.
"""
