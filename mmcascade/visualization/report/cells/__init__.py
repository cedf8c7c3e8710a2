# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the page says of a cascade of segmentors: a section of its own, its split, and images with their cells.

It looks like the section of classifiers and shares its charts, places and gallery, but figures are those of label maps
(mIoU, whole images). What a classifier's page needs, too, belongs beside this folder or into ``findings``.
"""
