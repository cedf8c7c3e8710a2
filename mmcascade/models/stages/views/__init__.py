# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a stage sees of its units: a view of the batch, resized, mirrored, or some frames of a clip."""
