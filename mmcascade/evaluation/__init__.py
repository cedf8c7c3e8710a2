# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How good a cascade is: ``curves`` over confidences (numpy only), and the ``metrics`` of MMEngine that print them."""
