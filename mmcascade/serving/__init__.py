# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A bundle behind HTTP: decisions by micro-batches, bounds on everything a client can send. Imports ``runtime`` only.

``app`` has the addresses, ``schemas`` what they answer, ``requests`` and ``room`` the bounds; a kind of bundle derives
from ``Served``. Whatever a client sends is bounded before it is decoded. How an image is decided on belongs into
``runtime``; ``page/`` is what a browser gets, which asks no other host for anything.
"""
