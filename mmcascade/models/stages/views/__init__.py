# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a stage sees of its units: a view of the batch, resized, mirrored, or some frames of a clip.

A ``DeviceView`` is made from a view of the pipeline when the stage runs, so only for the units that get there. Views
that decode or crop differently are pipelines of the data set; views of bundles are ``runtime.preprocessing``.
"""
