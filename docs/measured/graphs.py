# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The table of which families of the zoos hold as graphs."""

from __future__ import annotations

from typing import Any

from mmcascade._system.tables import Column, Table

#: What is said of a status, where the library itself could run the network.
_WORDS = {
    'any': 'any batch',
    'fixed': 'a fixed batch, with padding',
    'refused': 'refused: a probability differs by more than 1e-4',
}


def families(results: dict[str, Any]) -> str:
    """One row per outcome, with the families that had it."""
    tried = [row for row in results['rows'] if row['status'] in _WORDS]
    rows = [
        [words, str(len(found)), ', '.join(f'`{row["family"]}`' for row in found)]
        for status, words in _WORDS.items()
        if (found := [row for row in tried if row['status'] == status])
    ]
    table = Table.of([Column('as a graph', left=True), 'families', Column('which', left=True)], rows)
    worst = max(row['probability'] for row in tried if row['probability'] is not None)
    return table.as_markdown() + (
        f'\n\n{len(tried)} of {len(results["rows"])} families of MMPretrain in ONNX Runtime, the smallest network of '
        'each with random weights; the others do not classify (they are trained without labels, or caption), or their '
        f'library does not build them here. The largest difference of a probability to torch is {worst:.0e}.'
    )
