# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Weights from anywhere, without running code of strangers: downloads, safe reading, strict loading, hashes.

Every checkpoint of a member is read by ``load_weights``, and every difference to its model is an error of
``load_strictly``: no other place reads files of strangers. A type that a Runner saves beside weights gets an inert
stand-in. Where weights are found by a member's name is known by ``members.zoo``.
"""
