# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What stages compute, as ONNX graphs that were checked against torch.

One file per kind of stage: views and normalisation are inside, so that a graph takes raw pixels. How a network becomes
a graph, and when two outputs agree, is in ``runtimes.graphs``; who runs which graph is written by the writers above.
"""
