# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a page tells of stored scores, before anything is drawn."""
