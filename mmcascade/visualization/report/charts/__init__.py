# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Charts of the page: their geometry, their looks, and those of systems beside each other."""
