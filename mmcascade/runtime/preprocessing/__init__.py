# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From files of strangers to what graphs take: reading images within limits, and views as data."""
