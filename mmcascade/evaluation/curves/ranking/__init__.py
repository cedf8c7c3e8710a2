# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One exact sort of the scores, streamed in blocks: what every curve is summed from."""
