# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What decides: bundles, and cascades of configs."""
