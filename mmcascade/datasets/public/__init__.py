# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Photographs of public repositories, as the configs read them. None of them is part of mmcascade."""
