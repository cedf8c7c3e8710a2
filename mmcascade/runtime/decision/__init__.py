# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The arithmetic of :mod:`mmcascade.routing` in numpy: fusion, confidences, policies, maps, and who runs what."""
