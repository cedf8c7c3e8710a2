# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What goes wrong with a bundle or with an image, in words."""

from __future__ import annotations


class BundleError(ValueError):
    """A bundle that cannot be run: what is wrong with which of its files or fields, and what would be right."""


class ImageError(ValueError):
    """An image that cannot be decided on: unreadable, too large, or of a kind that views do not take."""
