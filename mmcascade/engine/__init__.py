# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What stands between a command line and a Runner.

``configs`` is what flags do to a config, ``runs`` what a tool does with one, ``loops`` and ``hooks`` plug into the
Runner, ``benchmark`` times, and ``console`` is the terminal. All but the console's parsers need MMEngine.
"""
