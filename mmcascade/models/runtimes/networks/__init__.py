# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members as functions of raw images: one kind of network per file, and how scores are read from modules of others.

A kind of member derives from ``Network`` and overrides ``prepare``, ``values`` and ``gives_logits``. Classes of the
libraries are recognised by their names (``class_outputs``, ``features``), so that forks count and none is imported for
it. Views, batches and cells are not known here: those are of ``stages``.
"""
