# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Fashion-MNIST, canvases and clips made of it, and small pictures that are something else: the quickstarts' data.

Everything is drawn from a seed, so that tables of the docs can be made again: what a seed gives may not change. What
the demo trains and compares on it is in ``demo`` and ``comparison``; data sets of users need none of this.
"""
