# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A bundle behind HTTP: decisions by micro-batches, bounds on everything a client can send. Imports runtime only."""
