# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members as ONNX graphs: written, compared with torch, and kept in the user's cache.

No graph is run before ``checked_graphs`` has compared it with the member; ``subject`` says what a cached one depends
on, and whatever changes its numbers belongs in there. How far members and graphs may differ is in ``agreement``. Graphs
of whole stages, for bundles, are in ``models.export.graphs``.
"""
