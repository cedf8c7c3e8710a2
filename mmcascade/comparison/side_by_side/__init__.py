# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Any cascades and single models on one set of labelled images: ``mmcascade compare``.

``systems`` opens what a command line names as deciders of ``engine.predict``, so that they are judged by what they
would decide in use; figures are ``evaluation.standings``, the page is ``visualization.report.compared``. It fits and
trains nothing.
"""
