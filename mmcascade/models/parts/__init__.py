# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From the keys of a config to a cascade's members, stages and confidence; and a batch taken apart."""
