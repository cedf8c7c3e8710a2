# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The server's application in replicas of Ray Serve, and members in deployments of their own.

``application`` is what a Serve config names, ``deployment`` starts and stops it, and ``members`` is the engine by which
a bundle asks for a graph that runs elsewhere. Requests, bounds and answers are those of ``mmcascade.serving``: nothing
here may answer otherwise than one process does. Offline tables by Ray Data are in ``engine.predict.ray_engine``.
"""
