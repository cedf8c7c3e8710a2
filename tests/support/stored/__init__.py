# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What members said, made up or small, and what is fitted on it."""
