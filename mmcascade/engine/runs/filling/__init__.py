# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Running members over a split once, into a store of scores or of cells."""
