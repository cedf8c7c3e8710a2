# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Fashion-MNIST, canvases composed of it, and small pictures that are something else: the quickstarts' data."""
