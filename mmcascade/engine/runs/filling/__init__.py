# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Running members over a split once, into a store of scores or of cells.

A ``StoreJob`` says which cascade, images and folder; ``fill_store`` and ``fill_cell_store`` run every stage on every
unit, so that any cascade of these stages can be replayed, and go on where a killed run stopped. What a store holds is
laid down in ``calibration.stores``. Modules on cells need MMSegmentation and are imported where they are called.
"""
