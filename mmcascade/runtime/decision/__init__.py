# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The arithmetic of :mod:`mmcascade.routing` in numpy: fusion, confidences, policies, maps, exits, and cells.

A change here is a change in :mod:`mmcascade.routing` as well, and in ``models.export``, which writes what is read here;
``tests/test_runtime`` compares the two. It knows arrays and fields of a description, no manifest and no graph: who runs
what is in ``running``. A policy derives from ``Policy`` and is read by ``read_policy``.
"""
