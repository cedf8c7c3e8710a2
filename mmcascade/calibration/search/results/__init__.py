# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is said of cascades that a search found: figures on other images, comparisons, and files."""
