# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The cells of an image: where they lie, the crops that members are run on, and the results pasted back."""
