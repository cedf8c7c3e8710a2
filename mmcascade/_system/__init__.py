# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The computer underneath: files written whole, the machine that timings belong to, memory that is kept."""
