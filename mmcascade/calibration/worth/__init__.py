# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A calibrated cascade beside its members and their ensemble, on the scores that it was calibrated on."""
