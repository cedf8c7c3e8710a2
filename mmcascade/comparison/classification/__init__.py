# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members, their ensemble and cascades as classifiers that may refuse."""
