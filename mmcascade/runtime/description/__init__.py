# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a bundle says of itself: ``cascade.json`` and its sample inputs, read as if anybody had written them."""
