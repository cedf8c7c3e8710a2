# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The quickstart: Fashion-MNIST, three small members, and what a window cascade of them is worth.

Fetches the data, trains the members with MMPretrain, calibrates, tests every system with tools/test.py, and writes
results.json and pictures. What is there already is used again, so an interrupted run continues.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config, DictAction
from rich.console import Console
from rich.table import Table

from mmcascade.comparison.ood import run_ood
from mmcascade.comparison.ood_table import ood_rows, ood_sentences
from mmcascade.comparison.table import claim_sentences, table_rows
from mmcascade.demo.processes import is_trained, run_process
from mmcascade.demo.quickstart import LARGE, PAIR, run_quickstart
from mmcascade.engine.console.command_line import one_line_errors

TOOLS = Path(__file__).resolve().parent
CONFIGS = TOOLS.parent / 'configs' / 'quickstart'
OOD_CONFIG = TOOLS.parent / 'configs' / 'ood' / 'fashion-mnist_window.py'
MEMBERS = {'small0': 'small-seed0', 'small1': 'small-seed1', 'large': 'large'}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', default='work_dirs/quickstart', help='folder for everything that is made')
    parser.add_argument('--data', default='data/fashion_mnist', help='folder of the data, fetched if it is not there')
    parser.add_argument(
        '--ood-data', default='data/ood', help='folder of the out-of-distribution sets, written if it is not there'
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings of all configs')
    args = parser.parse_args()
    start = time.monotonic()

    def say(line: str) -> None:
        print(f'[quickstart {time.monotonic() - start:4.0f} s] {line}', flush=True)

    with one_line_errors():
        say('data')
        run_process(TOOLS / 'dataset_converters/fashion_mnist.py', args.data)
        work_dir = Path(args.work_dir)
        cfg = _config('cascade', args)
        cfg.model.members = {
            name: dict(model=str(CONFIGS / f'{member}.py'), checkpoint=str(_train(member, work_dir, args, say)))
            for name, member in MEMBERS.items()
        }
        results = run_quickstart(cfg, work_dir, TOOLS, say)
        run_process(TOOLS / 'dataset_converters/digits.py', args.ood_data)
        ood_cfg = Config.fromfile(OOD_CONFIG)
        for dataset in ood_cfg.test_dataloader.dataset.datasets[1:]:
            dataset.data_root = args.ood_data
        ood = run_ood(cfg, ood_cfg, work_dir, say)
    _show(table_rows(results))
    print('\n'.join(claim_sentences(results)))
    for target, systems in ood['targets'].items():
        print(f'\nOut-of-distribution detection by {ood["confidence"]}, placed at {target} without OOD images:')
        _show(ood_rows(systems, f'{100 * float(target.partition("=")[2]):g}'))
    print('\n'.join(ood_sentences(systems, list(PAIR), [LARGE])))
    say(f'done; see {args.work_dir}/results.json and the pictures beside it')


def _show(rows: list[list[str]]) -> None:
    header, *body = rows
    table = Table(*header)
    for row in body:
        table.add_row(*row)
    Console(width=180).print(table)


def _config(name: str, args: argparse.Namespace) -> Config:
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.merge_from_dict(args.cfg_options or {})
    return cfg


def _train(member: str, work_dir: Path, args: argparse.Namespace, say: Callable[[str], None]) -> Path:
    """The member's checkpoint. A training that was interrupted goes on from its last epoch."""
    epochs = _config(member, args).train_cfg.max_epochs
    checkpoint = work_dir / member / f'epoch_{epochs}.pth'
    if is_trained(checkpoint):
        say(f'{member} is trained already')
        return checkpoint
    say(f'training {member}, {epochs} epochs')
    options = [f'{key}={value}' for key, value in (args.cfg_options or {}).items()]
    run_process(
        TOOLS / 'train.py',
        str(CONFIGS / f'{member}.py'),
        '--work-dir',
        str(work_dir / member),
        '--resume',
        *(['--cfg-options', *options] if options else []),
    )
    return checkpoint


if __name__ == '__main__':
    main()
