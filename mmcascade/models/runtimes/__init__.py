# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What runs a member's network, and with which batch size.

A :class:`~mmcascade.models.runtimes.networks.network.Network` says what is computed, a
:class:`~mmcascade.models.runtimes.runtime.Runtime` runs it; :func:`~mmcascade.models.runtimes.build.build_runtime`
chooses one for the options of a stage.
"""
