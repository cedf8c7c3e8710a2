# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How fast a cascade is beside its members and the limit that they set."""
