# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Whether a cascade pays, on the terminal."""

from __future__ import annotations

import textwrap

from mmcascade._system.tables import terminal_width
from mmcascade.calibration.worth.worth import Worth


def show_worth(worth: Worth, images: str) -> None:
    """Print the rows of the members, the ensemble and the cascade, and what they come to.

    Args:
        worth: what to show.
        images: what the units are, in words.
    """
    print(f'\non the {worth.standings.units} {images}, with 95 % intervals:\n')
    worth.table().show()
    print('\n' + textwrap.fill(worth.verdict, terminal_width()))
