# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From a name, a config or a dict to a loaded network; checkpoints are read without running their code.

``build_member`` is the way in, and ``Member`` all that a cascade keeps of it. Architectures that the libraries lack
(``cifar_resnet``, ``x3d``, those of ``exits``) are registered in ``MODELS``. What is computed of a member, and on which
view, is said by ``runtimes.networks`` and ``stages``, which this folder does not import.
"""
