# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Proof that a bundle decides as its cascade does, image by image, and the samples that it keeps of it."""
