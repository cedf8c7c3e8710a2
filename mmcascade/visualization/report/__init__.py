# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The page of a run: one HTML file that holds all it shows and asks nothing of anybody.

``section`` (classifiers), ``cells`` (segmentors) and ``compared`` make sections of stored scores, ``page`` puts what
fits ``PageSection`` into the templates of ``template/``. Names are escaped by the templates, and a policy forbids every
request: keep both. Files and pictures are read by ``engine.runs.report``.
"""
