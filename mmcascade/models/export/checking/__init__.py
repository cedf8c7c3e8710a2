# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Proof that a bundle decides as its cascade does, image by image, and the samples that it keeps of it.

``decisions`` and ``labels`` run both on real images and raise on a difference that rounding does not explain;
``samples`` are what ``Bundle.check`` compares anywhere later. Tolerances belong to ``runtimes.graphs.agreement`` and to
``samples``: a check is never loosened for one export.
"""
