# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A calibrated cascade written down: as a bundle, as models of Triton, or as one checkpoint with its config.

``bundle_writer`` and ``segmentor_writer`` write graphs and ``cascade.json``, and leave nothing behind that decides
otherwise than the cascade (``checking``). What a bundle may say is laid down in ``runtime.description``: a new field
begins there. Graphs of members are written in ``runtimes.graphs``, of stages in ``graphs``.
"""
