# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members with several exits: what they offer, and networks that offer it.

What a stage asks for is ``MultiExit``. A backbone of a library is taken apart by a function in ``levels.LEVELS``; a
network of its own derives from ``ExitBackbone`` (for MMPretrain) or from ``Blocks`` (plain torch), and its heads from
``MultiExitHead``. How exits are run as a cascade is in ``runtimes.networks.exit_network`` and ``stages.exit_stage``.
"""
