# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From stored scores to thresholds: stores, replay, fits, and search. No OpenMMLab library is imported here."""
