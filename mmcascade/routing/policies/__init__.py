# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Who goes on to the next stage."""
