# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What metrics read from the data samples that a model returns, and the bases that collect it.

A field is read by ``sample_fields`` or ``pixel_maps``, which say what is missing and who would write it;
``sample_sets`` tells the data sets of one loop apart. What is kept of a sample is one small entry, as distributed tests
cut them by position. No metric of its own lives here.
"""
