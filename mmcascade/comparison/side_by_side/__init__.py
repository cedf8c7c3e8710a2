# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Any cascades and single models on one set of labelled images: ``mmcascade compare``."""
