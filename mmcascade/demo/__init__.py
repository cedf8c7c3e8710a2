# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The quickstarts, and nothing else: fetch data, train small members, and compare them by ``mmcascade.comparison``.

No other package imports from here, so everything may be changed as long as ``make demo`` and the tables of the README
keep their meaning.
"""

from mmcascade._system.extras import require

require('mmengine', 'mmcascade.demo')
