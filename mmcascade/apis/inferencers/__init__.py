# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images of any kind in, decisions or label maps out, in the form of OpenMMLab's inferencers.

Each needs the library of its own task and runs the cascade's model with the pipeline of its config; ``images`` and
``shared`` import neither. Many images, with a journal and tables, are the business of ``engine.predict``.
"""
