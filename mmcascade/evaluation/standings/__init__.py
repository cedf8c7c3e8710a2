# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Systems that judged the same units, beside each other: paired intervals, a table, and whether a cascade pays.

A ``Measure`` is a share read off a ranking, a ``CostUnit`` what costs are counted in; all systems are resampled with
the same draws. Every table and verdict of ``build``, ``compare``, ``report`` and ``Cascade.evaluate`` is made here.
Where the systems' figures come from (``calibration.worth``, ``comparison``) is not known here.
"""
