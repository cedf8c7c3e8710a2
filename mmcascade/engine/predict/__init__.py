# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Decisions for any number of images, with bounded memory, resumed after any end: ``mmcascade predict``.

``predict`` (one process) and ``ray_engine`` (many) hand items of ``inputs`` to a decider and keep rows in a
``Journal``, from which a killed run goes on. A bundle is decided on without torch: what needs it is imported where a
config is opened. Python users with a few images take ``apis.inferencers``.
"""
