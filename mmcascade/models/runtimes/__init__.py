# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How a member's forward pass runs on its device."""
