# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From members and a folder of labelled images to a calibrated cascade, and whether it pays: ``mmcascade build``."""
