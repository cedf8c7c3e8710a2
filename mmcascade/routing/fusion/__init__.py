# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What stages give for their rows, and how it is averaged along the way.

``StageOutput`` is all that the router knows of a member, ``CascadeState`` what a unit has so far: sums in stage order,
divided once, so that one stage's probabilities stay as they are to the bit. A new fusion is one more name in
``FUSIONS`` with its case in ``CascadeState``; ``runtime.decision.fusion`` repeats it in numpy and is tied to it by
tests.
"""
