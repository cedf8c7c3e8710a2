# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a calibration says: the file, its checks, the guarantee in it, and a summary in words."""
