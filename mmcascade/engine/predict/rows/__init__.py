# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Decisions as rows of a table: the columns of each task, and label maps as files beside it.

A kind of decision derives from ``RowFormat`` and says its columns and how they are filled; 'path' and 'error' are there
for all. Columns that are there stay, as users' programs read them. How finished rows become CSV, JSON lines or Parquet
is in ``engine.predict.tables``.
"""
