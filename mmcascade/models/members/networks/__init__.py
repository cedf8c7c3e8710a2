# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Networks of other libraries by a string: ``timm/NAME``, ``torchvision/NAME``, ``hf-hub:ORG/NAME`` or a folder.

One file per library, which is imported when one of its names is asked for; a new one gives a ``NamedNetwork`` and
stands in ``references.PREFIXES``. MMEngine is not imported: ``mmcascade.Cascade`` works without it. How images are
prepared for these networks is in ``recipes``.
"""
