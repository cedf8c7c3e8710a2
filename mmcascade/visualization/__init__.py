# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Pictures of calibrations, searches, benchmarks and decisions, in one style."""
