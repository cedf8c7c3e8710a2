# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members, their ensemble and cascades as detectors of what is out of distribution (OOD)."""
