# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What metrics read from the data samples that a model returns, and the base that collects it."""
