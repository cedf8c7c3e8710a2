# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How networks of other libraries want their images, read from those libraries; one file per library.

A recipe says it as data (see :mod:`mmcascade.runtime.preprocessing.views`), so that a test, a prediction and an
exported bundle see the same pixels. What no step can say is refused, never approximated. Only torch is imported here:
recipes read what a library's objects hold.
"""
