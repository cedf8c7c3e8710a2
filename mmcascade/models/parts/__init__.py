# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From the keys of a config to a cascade's members, stages and confidence; and a batch taken apart.

What a cascade checks once, before anything runs: options of stages, names of classes, whole checkpoints. A wrong value
is an error that names the key, the value and what is expected. The cascades import this folder, so it imports no
cascade; configs are changed by ``engine.configs``.
"""
