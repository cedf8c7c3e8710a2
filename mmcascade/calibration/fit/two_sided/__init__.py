# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Windows around a decision: where it lies among the scores, and how far a window reaches on both sides."""
