# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images of any kind in, decisions or label maps out, in the form of OpenMMLab's inferencers."""
