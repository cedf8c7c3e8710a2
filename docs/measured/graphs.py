# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The table of which families of the zoos hold as graphs."""

from __future__ import annotations

import re
from typing import Any

from mmcascade._system.tables import Column, Table

#: What is said of a status, where the library itself could run the network.
_WORDS = {
    'any': 'any batch',
    'fixed': 'a fixed batch, with padding',
    'rounding': 'refused, though torch itself rounds by as much',
    'refused': 'refused: it computes something else',
}
_LIBRARIES = {'mmpretrain': 'MMPretrain', 'mmseg': 'MMSegmentation'}
_RUNTIMES = {'onnxruntime': 'ONNX Runtime', 'openvino': 'OpenVINO'}


def families(results: dict[str, Any]) -> str:
    """One row per library, runtime and outcome, with the families that had it."""
    kinds = sorted({(row['library'], row['runtime']) for row in results['rows']})
    tried = [dict(row, status=_outcome(row)) for row in results['rows'] if row['status'] in _WORDS]
    rows = [
        [_LIBRARIES[library], _RUNTIMES[runtime], words, str(len(found)), ', '.join(f'`{name}`' for name in found)]
        for library, runtime in kinds
        for status, words in _WORDS.items()
        if (
            found := [
                row['family']
                for row in tried
                if (row['library'], row['runtime'], row['status']) == (library, runtime, status)
            ]
        )
    ]
    columns = [Column('library', left=True), Column('runtime', left=True), Column('as a graph', left=True)]
    table = Table.of([*columns, 'families', Column('which', left=True)], rows)
    worst = max(row['probability'] for row in tried if row['probability'] is not None)
    counts = ', '.join(
        f'{sum((row["library"], row["runtime"]) == kind for row in tried)} of '
        f'{sum((row["library"], row["runtime"]) == kind for row in results["rows"])} families of {_LIBRARIES[kind[0]]} in '
        f'{_RUNTIMES[kind[1]]}'
        for kind in kinds
    )
    return table.as_markdown() + (
        f'\n\n{counts}: the smallest network of each, with random weights. The others are trained without labels, or '
        'caption, or their library does not build or run them here. Where a graph is taken, a probability differs from '
        f"torch's by {worst:.0e} at the most; above 1e-4 it is refused. Random weights make the values of some networks "
        "grow by the layer: torch's own float32 is then as far from float64, at least by a third of the difference."
    )


def _outcome(row: dict[str, Any]) -> str:
    """Its status; 'rounding' where a graph was refused for no more than torch rounds by itself."""
    own = row.get('rounding')
    found = re.search(r'differs from torch by (\S+) in probability', row['reason'] or '')
    return 'rounding' if own and found and own >= float(found[1]) / 3 else row['status']
