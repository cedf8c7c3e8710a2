# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the page says of a cascade of segmentors."""
