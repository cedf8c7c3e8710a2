# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is fitted on the cells of segmented images only."""
