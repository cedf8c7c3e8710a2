# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a network leaves behind at one of its exits for a later one: trees of tensors with a row per unit."""
