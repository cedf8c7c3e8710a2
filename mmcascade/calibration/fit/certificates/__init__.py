# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is promised of unseen units, and the units that are kept apart for that."""
