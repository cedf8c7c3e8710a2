# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What runs a member's network, and with which batch size.

A :class:`~mmcascade.models.runtimes.networks.network.Network` says what is computed, a
:class:`~mmcascade.models.runtimes.runtime.Runtime` runs it; :func:`~mmcascade.models.runtimes.build.build_runtime`
chooses one for the options of a stage. A variant overrides ``run``; rows may not depend on their batch. What a stage
sees of an image is the business of ``models.stages``, which is not imported here.
"""
