# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which members, in which order, with which windows: chains that grow by a stage, and the front that they make.

``Candidates`` are stages of a store with their costs, ``chains`` says which may follow each other, ``search`` keeps the
best of each length. The windows of one chain are searched in ``calibration.grid``. What is found is shown to other
images and written in ``results``; configs are made of it in ``engine.configs.chains``.
"""
