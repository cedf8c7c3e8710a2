# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The server's application in replicas of Ray Serve."""
