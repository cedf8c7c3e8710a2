# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Networks of other libraries by a string: ``timm/NAME``, ``torchvision/NAME``, ``hf-hub:ORG/NAME`` or a folder."""
