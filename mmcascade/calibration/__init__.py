# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From stored scores to thresholds. No OpenMMLab library is imported here.

From the ground up: ``stores`` keep what members said, ``replay`` routes over it, ``grid`` tries all windows of one
chain, ``fit`` makes a calibration file, ``search`` looks for whole cascades, and ``worth`` says whether one pays.
Members are run elsewhere (``engine.runs.filling``, ``apis``); from here on a cascade is rows of a store.
"""
