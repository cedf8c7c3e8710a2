# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A whole cascade as one ONNX graph: members, decisions and branches."""
