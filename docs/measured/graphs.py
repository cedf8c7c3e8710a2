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
    'refused': 'refused: a probability differs by more than 1e-4',
}
_LIBRARIES = {'mmpretrain': 'MMPretrain', 'mmseg': 'MMSegmentation'}
_RUNTIMES = {'onnxruntime': 'ONNX Runtime', 'openvino': 'OpenVINO'}


def families(results: dict[str, Any]) -> str:
    """One row per library, runtime and outcome, with the families that had it."""
    tried: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in results['rows']:
        tried.setdefault((row['library'], row['runtime']), []).append(dict(row, status=_outcome(row)))
    rows, counts, worst = [], [], 0.0
    for (library, runtime), all_rows in sorted(tried.items()):
        where = _LIBRARIES[library], _RUNTIMES[runtime]
        ran = [row for row in all_rows if row['status'] in _WORDS]
        counts.append(f'{len(ran)} of {len(all_rows)} families of {where[0]} in {where[1]}')
        worst = max(worst, *(row['probability'] or 0.0 for row in ran))
        for status, words in _WORDS.items():
            names = [f'`{row["family"]}`' for row in ran if row['status'] == status]
            if names:
                rows.append([*where, words, str(len(names)), ', '.join(names)])
    columns = [Column(name, left=True) for name in ('library', 'runtime', 'as a graph')]
    table = Table.of([*columns, 'families', Column('which', left=True)], rows)
    return table.as_markdown() + (
        f'\n\n{", ".join(counts)}: the smallest network of each, with random weights. The others are trained without '
        'labels, or caption, or their library does not build or run them here. Where a graph is taken, a probability '
        f"differs from torch's by {worst:.0e} at the most; above 1e-4 it is refused. Random weights make values grow "
        "by the layer in some networks: torch's own float32 is then as far from float64, at least by a third of the "
        'difference.'
    )


def _outcome(row: dict[str, Any]) -> str:
    """Its status; 'rounding' where a graph was refused for no more than torch rounds by itself."""
    own = row.get('rounding')
    found = re.search(r'differs from torch by (\S+) in probability', row['reason'] or '')
    return 'rounding' if own and found and own >= float(found[1]) / 3 else row['status']
