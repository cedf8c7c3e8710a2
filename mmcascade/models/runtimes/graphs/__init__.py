# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members as ONNX graphs: written, compared with torch, and kept in the user's cache."""
