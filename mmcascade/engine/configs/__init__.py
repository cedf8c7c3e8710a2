# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What flags, views and searches do to a config, before anything is built of it.

Functions take a ``Config`` and change it in place, or make a new one of a search (``chains``); data sets may be wrapped
and joined, which ``datasets`` sees through. ``classes`` compares the classes of data and members. Configs as files are
read by ``engine.console.configs``, keys of a cascade are checked by ``models.parts``, and what is run is in ``runs``.
"""

from mmcascade._system.extras import require

require('mmengine', 'mmcascade.engine')
