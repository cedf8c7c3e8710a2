# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The quickstart for segmentation: composed canvases, two small members, and their cascade."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mmcascade.comparison.segmentation.comparison import SegmentorComparison
from mmcascade.comparison.segmentation.results import SegResults
from mmcascade.datasets.quickstart.canvases import build_canvases
from mmcascade.datasets.quickstart.fashion_mnist import fetch_fashion_mnist
from mmcascade.demo.members import trained
from mmcascade.engine.console.progress import Say, progress_bar

MEMBERS = ('small', 'large')


@dataclass(frozen=True)
class Canvases:
    """The data of the quickstart.

    Attributes:
        folder: of the canvases.
        fashion_mnist: folder of the garments, fetched if they are not there.
        counts: how many canvases to train, calibrate and test on.
    """

    folder: Path
    fashion_mnist: Path
    counts: tuple[int, int, int] = (160, 16, 16)

    def compose(self) -> None:
        """Make those that are not there."""
        fetch_fashion_mnist(self.fashion_mnist)
        train, val, test = self.counts
        with progress_bar('canvases') as progress:
            build_canvases(
                self.fashion_mnist, self.folder, {'train': train, 'val': val, 'test': test}, progress=progress
            )


def quickstart_seg(
    cfg: Config, configs: Path, work_dir: Path, canvases: Canvases, iterations: int | None = None, say: Say = print
) -> SegResults:
    """Everything, from the data to the comparison; returns what ``results.json`` holds.

    Args:
        cfg: config of the cascade.
        configs: folder of the members' configs.
        work_dir: everything that is made.
        canvases: the data.
        iterations: of the training, in place of the configs'.
        say: prints one line of progress.
    """
    say('composing canvases')
    canvases.compose()
    cfg.model.members = {
        name: dict(
            model=str(configs / f'{name}.py'),
            checkpoint=str(_member(configs / f'{name}.py', work_dir, canvases.folder, iterations, say)),
        )
        for name in MEMBERS
    }
    for split in ('val_dataloader', 'test_dataloader'):
        cfg[split].dataset.data_root = str(canvases.folder)
    return SegmentorComparison(cfg, work_dir, say=say).run()


def _member(config: Path, work_dir: Path, data: Path, iterations: int | None, say: Say) -> Path:
    iterations = iterations or Config.fromfile(config).train_cfg.max_iters
    options = [
        *(f'{split}_dataloader.dataset.data_root={data}' for split in ('train', 'val', 'test')),
        f'train_cfg.max_iters={iterations}',
        f'train_cfg.val_interval={iterations}',
        f'param_scheduler.total_steps={iterations}',
    ]
    return trained(config, work_dir / config.stem / f'iter_{iterations}.pth', say, options, validate=False)
