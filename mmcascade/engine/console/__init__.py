# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the tools share on a terminal: parsers, the reading of configs, one-line errors, progress.

A tool is a function ``parser(subparsers=None)`` and one call. Nothing that ``arguments`` and ``commands`` import is
heavy, so that ``--help`` answers at once; keep it so. What is shown is handed in: ``runs`` print their progress here,
so no run is imported. How errors of the libraries are told to a user is in ``config_errors``.
"""
