# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members, their ensemble and cascades as classifiers that may refuse: the quickstart's table and pictures.

``systems`` fits three exit policies on stored scores, so that they send on the same share; ``claim`` says with
intervals whether the window cascade keeps what its paper promises. Keys of ``results`` stay: tables of the docs are
made from them. The comparison of any systems by words on a command line is ``side_by_side``.
"""
