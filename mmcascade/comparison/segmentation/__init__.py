# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Cascades that decide per cell beside their members, their ensemble, and image-level deferral.

``comparison`` calibrates and tests one cascade for each ``CellShape``, and beside them deferral of whole images and by
chance; intervals draw whole images. How cells are cut and fitted is in ``models.cells`` and ``calibration.fit``.
Keys of ``results`` stay: tables of the docs are made from them.
"""
