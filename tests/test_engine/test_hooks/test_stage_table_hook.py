# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

from types import SimpleNamespace

from mmcascade.engine.hooks.stage_table_hook import stage_rows, stage_table


def stage(member, where, shapes, batch_size=None, on='image'):
    return SimpleNamespace(
        member=member, describe=lambda: str(where), batch_size=batch_size, macs_by_shape=shapes, on=on
    )


def test_rows_add_up():
    stages = [stage('small', 0, {(3, 8, 8): 1e9}), stage('large', 1, {(3, 16, 16): 4e9}, 6), stage('huge', 1, {})]
    rows = stage_rows(stages, {'cost/reached@stage1': 20.0, 'cost/reached@stage2': 0.0})
    assert rows == [
        ('0', 'small', '0', '3x8x8', 'any', '1 G', '1 G', '100.00'),
        ('1', 'large', '1', '3x16x16', '6', '4 G', '5 G', '20.00'),
        ('2', 'huge', '1', 'never ran', 'any', 'n/a', 'n/a', '0.00'),
    ]
    text = stage_table(stages, {}).as_text(80)
    assert 'reached %' in text and '3x16x16' in text
    assert max(map(len, text.splitlines())) <= 80


def test_shapes_that_differ_get_a_row_each_and_no_metric_means_na():
    rows = stage_rows([stage('small', 0, {(3, 8, 8): 1e9, (3, 16, 16): 4e9}), stage('large', 0, {(3, 8, 8): 2e9})], {})
    assert [row[5:] for row in rows] == [('1 G', '1 G', '100.00'), ('4 G', '4 G', '100.00'), ('2 G', 'n/a', 'n/a')]


def test_stages_on_cells_are_charged_per_crop():
    first = stage('small', 'image at 0.5', {(3, 32, 64): 1e9})
    second = stage('large', 'cell', {(3, 48, 48): 4e9}, 8, on='cell')
    assert stage_rows([first, second], {'cost/reached@stage1': 20.0}) == [
        ('0', 'small', 'image at 0.5', '3x32x64', 'any', '1 G', '1 G', '100.00'),
        ('1', 'large', 'cell', '3x48x48', '8', '4 G', 'n/a', '20.00'),
    ]
