# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From files of strangers to what graphs take: reading images within limits, and views as data.

A step of a view derives from ``Step`` (``Resizing``, if it resizes), reads its own numbers and is listed in ``views``.
A pipeline of OpenMMLab and a recipe of another library are translated to such steps in ``models.members.recipes``;
pixels must come out as there. No image is decoded anywhere else in :mod:`mmcascade.runtime`.
"""
