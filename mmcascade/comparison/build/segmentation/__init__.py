# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From segmentors and annotated images to a calibrated cascade, and whether it pays."""
