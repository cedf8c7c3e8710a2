# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members with several exits: what they offer, and how they are run from one exit to a later one."""
