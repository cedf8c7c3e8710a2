# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a calibration says: the file, its checks, the guarantee in it, and a summary in words.

``Calibration`` is read from files of anybody: a new field has a check in ``calibration_checks``, is left out where it
says nothing, and files of earlier versions still load. It knows what was found and not how, so nothing of
``calibrate``, ``one_sided`` or ``accepting`` is imported.
"""
