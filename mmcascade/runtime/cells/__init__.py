# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images whose cells are decided on one by one: the grid, crops, confidences of cells, and who runs what, in numpy."""
