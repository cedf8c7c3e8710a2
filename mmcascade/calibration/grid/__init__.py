# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""All windows of a chain at once, as differences of running sums; tied to the replay by one battery of tests."""
