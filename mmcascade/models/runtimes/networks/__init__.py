# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members as functions of raw images: one kind of network per file, and how scores are read from modules of others."""
