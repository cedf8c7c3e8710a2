# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The computer underneath: files written whole, locks, extras that may be missing, tables for the terminal.

Nothing here knows of cascades, and nothing else of ours is imported. What writes a file or folder of a user goes
through ``files``, so that a kill leaves the old one or the new one; what shows columns goes through ``tables``. A
helper that a single part needs belongs into that part.
"""
