# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A member applied to a view of the input: what the router runs."""
