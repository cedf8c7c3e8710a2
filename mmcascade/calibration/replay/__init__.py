# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade over stored units: what every unit carries at its exit, and what that costs.

How a replay works, and what may be touched, is in the README beside this file. A new kind of stored units derives from
``StoredStages``, a new figure from ``Quality``; nothing here fits or chooses.
"""
