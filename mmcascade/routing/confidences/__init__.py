# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One number per unit: how certain a cascade is, and maps that make such numbers comparable across exits."""
