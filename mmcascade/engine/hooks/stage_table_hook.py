# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The per-stage table after a test run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcascade._system.tables import Table, with_prefix
from mmcascade.engine.configs.classes import check_dataset
from mmcascade.models.cascades import cascade_of
from mmcascade.models.stages.stage import MemberStage
from mmcascade.registry import HOOKS

COLUMNS = ('stage', 'member', 'view', 'input', 'batch', 'MACs', 'cumulative', 'reached %')


@HOOKS.register_module()
class StageTableHook(Hook):
    """Logs what each stage of a cascade ran on.

    That is its member, view, input shape, batch size, multiply-adds of the stage and of all stages up to it, per image,
    and the share of images that reached it.

    For segmentation the view says whether the member ran on images or on cells, and at which scale; the multiply-adds
    are those of one image or of one crop, and the share is that of the images' area.

    The shares come from the metric ``mmcascade.CascadeCost``, which counts every image once, also in a distributed
    test; without that metric they are n/a. Before the test, the classes of the data set are compared with the members'.
    Does nothing for a model without stages.
    """

    priority = 'LOW'

    def before_test(self, runner: Runner) -> None:
        """Refuse a data set whose labels are not the members' classes, also in another library's tools."""
        check_dataset(runner.model, runner.test_dataloader.dataset, 'test_dataloader.dataset')

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Print the table."""
        cascade = cascade_of(runner.model)
        if cascade is not None:
            table = stage_table(cascade.stages, metrics or {}).as_text(120)
            runner.logger.info(f'Stages of the cascade (multiply-adds per image, or per cell)\n{table}')


def stage_table(stages: Sequence[MemberStage], metrics: dict[str, float]) -> Table:
    """The rows of :func:`stage_rows` as a table."""
    return Table.of(COLUMNS, stage_rows(stages, metrics))


def stage_rows(stages: Sequence[MemberStage], metrics: dict[str, float]) -> list[tuple[str, ...]]:
    """One row of :data:`COLUMNS` for each stage and each input shape it met."""
    rows: list[tuple[str, ...]] = []
    before: float | None = 0.0
    for index, stage in enumerate(stages):
        reached = 100.0 if index == 0 else metrics.get(f'cost/reached@stage{index}')
        on_cells = stage.on == 'cell'
        shapes: Mapping[tuple[int, ...], float | None] = stage.macs_by_shape or {(): None}
        for shape, macs in shapes.items():
            rows.append(
                (
                    str(index),
                    stage.member,
                    stage.describe(),
                    'x'.join(map(str, shape)) or 'never ran',
                    'any' if stage.batch_size is None else str(stage.batch_size),
                    'n/a' if macs is None else with_prefix(macs),
                    'n/a' if macs is None or before is None or on_cells else with_prefix(before + macs),
                    'n/a' if reached is None else f'{reached:.2f}',
                )
            )
        # Several shapes, or cells, have no one cumulative cost; their mean is what cost/macs reports.
        before = None if len(shapes) > 1 or macs is None or before is None or on_cells else before + macs
    return rows
