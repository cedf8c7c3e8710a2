# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What stages compute, as ONNX graphs that were checked against torch."""
