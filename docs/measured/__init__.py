# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The measured tables of the pages, each made from a file in benchmarks/results."""
