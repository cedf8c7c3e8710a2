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
