# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From members and a folder of labelled images to a calibrated cascade, and whether it pays: ``mmcascade build``.

The classifiers' way is in this folder: members by ``words``, their ``views`` and ``images`` looked at as ``material``,
a ``config``, then calibration and a page by ``engine.runs``. ``search`` and ``segmentation`` go on from the same
``BuildRequest``. Nothing that takes long starts before all that can be refused was looked at.
"""
