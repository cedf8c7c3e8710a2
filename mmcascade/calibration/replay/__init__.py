# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade over stored units: what every unit carries at its exit, and what that costs."""
