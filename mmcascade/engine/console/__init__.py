# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the tools share on a terminal."""
