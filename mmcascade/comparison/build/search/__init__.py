# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which members, on which views, with which windows: ``mmcascade build --search``.

It stores every member on every view, has ``calibration.search`` look for chains, and takes the one that ``plans`` and
``choice`` call for on images that the search did not see; ``segmentation`` shares both. How a search walks is not known
here.
"""
