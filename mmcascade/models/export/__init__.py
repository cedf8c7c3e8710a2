# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A calibrated cascade written as a bundle: graphs, cascade.json, samples and a card."""
