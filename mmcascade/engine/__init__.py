# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What stands between a command line and a Runner.

``configs`` is what flags do to a config, ``runs`` what a tool does with one, ``loops`` and ``hooks`` plug into the
Runner, ``predict`` decides on any number of images, ``benchmark`` times, and ``console`` is the terminal. All but the
console's parsers need MMEngine. A tool in ``tools/`` is a parser and one call into here.
"""
