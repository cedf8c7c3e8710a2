# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Who runs what: the graphs of members, and how images and cells go through the stages that a manifest describes."""
