# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What every store of outputs has to do, whatever it holds."""
