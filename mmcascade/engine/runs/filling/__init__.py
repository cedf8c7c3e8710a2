# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Running members over a split once, into a store of scores or of cells.

A ``StoreJob`` says which cascade, images and folder. A ``Filler`` runs every stage on every unit, so that any cascade
of these stages can be replayed, and goes on where a killed run stopped: ``ScoreFiller``, ``CellFiller``, and
``StageCopier``, which reads the stages out of another store. What a store holds is laid down in ``calibration.stores``.
Modules on cells need MMSegmentation and are imported where they are called.
"""
