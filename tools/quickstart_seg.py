# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The quickstart for segmentation: composed canvases of Cityscapes' size, two small members, and their cascade.

Composes the canvases from Fashion-MNIST, trains the members with MMSegmentation, calibrates cascades that decide per
cell, tests every system with tools/test.py, and writes results.json and pictures. What is there already is used again,
so an interrupted run continues.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config, DictAction

from mmcascade.comparison.segmentation import Comparison
from mmcascade.comparison.segmentation_table import print_results
from mmcascade.demo.processes import is_trained, run_process
from mmcascade.engine.console.command_line import one_line_errors

TOOLS = Path(__file__).resolve().parent
CONFIGS = TOOLS.parent / 'configs' / 'quickstart_seg'
MEMBERS = ('small', 'large')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', default='work_dirs/quickstart_seg', help='folder for everything that is made')
    parser.add_argument('--data', default='data/composed_fashion', help='folder of the canvases')
    parser.add_argument(
        '--fashion-mnist', default='data/fashion_mnist', help='folder of the garments, fetched if they are not there'
    )
    parser.add_argument(
        '--canvases',
        type=int,
        nargs=3,
        metavar=('TRAIN', 'VAL', 'TEST'),
        default=[160, 16, 16],
        help='how many to compose (default: %(default)s)',
    )
    parser.add_argument('--iterations', type=int, help="of the training, in place of the configs'")
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help="override settings of the cascade's config")
    args = parser.parse_args()
    start = time.monotonic()

    def say(line: str) -> None:
        print(f'[quickstart_seg {time.monotonic() - start:4.0f} s] {line}', flush=True)

    with one_line_errors(ValueError):
        say('composing canvases')
        counts = [
            word
            for split, count in zip(('train', 'val', 'test'), args.canvases, strict=True)
            for word in (f'--{split}', str(count))
        ]
        run_process(
            TOOLS / 'dataset_converters/fashion_mnist_canvases.py',
            args.data,
            '--fashion-mnist',
            args.fashion_mnist,
            *counts,
        )
        work_dir = Path(args.work_dir)
        cfg = Config.fromfile(CONFIGS / 'cascade.py')
        cfg.merge_from_dict(args.cfg_options or {})
        cfg.model.members = {
            name: dict(model=str(CONFIGS / f'{name}.py'), checkpoint=str(_train(name, work_dir, args, say)))
            for name in MEMBERS
        }
        for split in ('val_dataloader', 'test_dataloader'):
            cfg[split].dataset.data_root = args.data
        results = Comparison(cfg, work_dir, TOOLS, say=say).run()
    print_results(results)
    say(f'done; see {args.work_dir}/results.json and the pictures beside it')


def _train(member: str, work_dir: Path, args: argparse.Namespace, say: Callable[[str], None]) -> Path:
    """The member's checkpoint. A training that was interrupted goes on from its last checkpoint."""
    config = CONFIGS / f'{member}.py'
    iterations = args.iterations or Config.fromfile(config).train_cfg.max_iters
    checkpoint = work_dir / member / f'iter_{iterations}.pth'
    if is_trained(checkpoint):
        say(f'{member} is trained already')
        return checkpoint
    say(f'training {member}, {iterations} iterations')
    roots = [f'{split}_dataloader.dataset.data_root={args.data}' for split in ('train', 'val', 'test')]
    run_process(
        TOOLS / 'train.py',
        str(config),
        '--work-dir',
        str(work_dir / member),
        '--resume',
        '--no-validate',
        '--cfg-options',
        *roots,
        f'train_cfg.max_iters={iterations}',
        f'train_cfg.val_interval={iterations}',
        f'param_scheduler.total_steps={iterations}',
    )
    return checkpoint


if __name__ == '__main__':
    main()
