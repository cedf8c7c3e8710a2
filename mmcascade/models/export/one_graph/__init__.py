# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A whole cascade as one ONNX graph: members, decisions and branches.

It is made of a written bundle, not of models, so its modules need no torch. ``decision_nodes`` repeats the arithmetic
of ``runtime.decision`` in nodes: a confidence, fusion or policy that it lacks is refused by name.
"""
