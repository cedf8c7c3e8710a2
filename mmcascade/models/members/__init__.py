# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From a name, a config or a dict to a loaded network; checkpoints are read without running their code."""
