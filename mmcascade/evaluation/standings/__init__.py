# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Systems that judged the same units, beside each other: paired intervals, a table, and whether a cascade pays."""
