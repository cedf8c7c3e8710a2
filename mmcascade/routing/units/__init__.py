# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is routed: units with their inputs, on their way in, waiting, and finished."""
