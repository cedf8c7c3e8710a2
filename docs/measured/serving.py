# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The table of what it costs to ask through a server and through Ray."""

from __future__ import annotations

from typing import Any

from mmcascade._system.tables import Column, Table


def prices(results: dict[str, Any]) -> str:
    machine, rows = results['machine'], results['rows']
    table = Table.of(
        [Column('', left=True), 'images/s', 'of in process', 'ms, median', 'ms, 99 of 100', 'ms alone', 'CPU ms'],
        [
            [
                row['system'],
                f'{row["images_per_s"]:.1f} ({row["lowest"]:.1f} to {row["highest"]:.1f})',
                f'{row["share"]:.0%}',
                f'{row["ms_median"]:.0f}',
                f'{row["ms_99"]:.0f}',
                f'{row["ms_alone"]:.1f}',
                f'{row["cpu_ms"]:.1f}',
            ]
            for row in rows
        ],
    )
    batch = rows[0]['batch']
    return table.as_markdown() + (
        f'\n\nImages/s (median of the rounds, lowest to highest) and milliseconds of an answer to {2 * batch} clients '
        f'that send one image at a time, which run in batches of up to {batch}; then of an answer to one client alone, '
        'and processor milliseconds per image, those of the clients left out. In process, milliseconds are those of a '
        f'whole batch, and of one image. One thread per graph, {machine["cores"]} cores of {machine["cpu"]}, ONNX '
        f'Runtime {machine["onnxruntime"]}, Ray {machine["ray"]}; load of the machine up to '
        f'{max(row["load"] for row in rows):.1f}, the measurement included.'
    )


def load(results: dict[str, Any]) -> str:
    machine, rows = results['machine'], {row['what']: row for row in results['rows']}
    values = {what: row['value'] for what, row in rows.items() if row['value'] is not None}
    kinds = [row for row in rows.values() if row['requests'] is not None]
    by_kind = Table.of(
        [Column('requests', left=True), 'sent', 'decided', 'refused', 'closed', 'lost'],
        [
            [_KINDS[row['what']], *(f'{row[name]:,}' for name in ('requests', 'right', 'refused', 'closed', 'lost'))]
            for row in kinds
        ],
    )
    by_clients = Table.of(
        [Column('', left=True), 'images/s', 'ms, median', 'ms, 99 of 100'],
        [
            [what, *(f'{row[name]:.{digits}f}' for name, digits in _DIGITS.items())]
            for what, row in rows.items()
            if row['ms_median'] is not None
        ],
    )
    return (
        f'{by_kind.as_markdown()}\n\nIn {values["minutes"]:.0f} minutes the server counted '
        f'{values["answers, server"]:,.0f} answers with a decision, and the clients have '
        f'{values["answers, clients"]:,.0f}, each the decision of the bundle. Its memory was '
        f'{values["MB, early"]:.0f} MB after the first turn of each number of clients, {values["MB, late"]:.0f} MB at '
        f'the end, and {values["MB, most"]:.0f} MB at the most. The photographs among them, by the number '
        'of clients:\n\n'
        f'{by_clients.as_markdown()}\n\nEfficientNet-Lite0, Lite1 and Lite2 on photographs, one thread per graph; '
        f'{machine["cores"]} cores of {machine["cpu"]}, which clients and other work shared: the load of the machine '
        f'was {values["load of the machine"]:.0f}. Through the server came {values["server over in process"]:.2f} of '
        'what the bundle gave in process beside it, in batches of the same size.'
    )


_KINDS = {
    'good': 'one photograph',
    'broken': 'the first bytes of one',
    'huge': 'more bytes than are allowed',
    'slow': 'half, and after a pause nonsense',
    'cut': 'half, and then the connection cut',
}
_DIGITS = {'images_per_s': 1, 'ms_median': 0, 'ms_99': 0}
