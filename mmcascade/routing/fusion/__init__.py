# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What stages give for their rows, and how it is averaged along the way."""
