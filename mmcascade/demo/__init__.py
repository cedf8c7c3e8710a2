# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The quickstart: what its parts measure and draw."""
