# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""How fast a cascade is beside its members and the limit that they set.

``timing`` takes seconds, ``systems`` are what is timed, ``speeds`` makes figures of seconds, ``benchmark`` does it all
in one run, and ``table`` shows it. Systems are timed in turns, so that what else the machine does meets all alike. What
is measured lands in files that the docs quote, so keys of results stay. Scripts about one question are in
``benchmarks/speed``.
"""

from mmcascade._system.extras import require

require('mmengine', 'mmcascade.engine')
