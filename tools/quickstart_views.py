# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The quickstart's test-time augmentation: one member on four views, all of them or as few as the decision needs.

Fetches the data, trains the member if it is not there, fits on the calibration split, measures on the test split, and
writes self_cascade.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from mmcascade.demo.processes import is_trained
from mmcascade.demo.quickstart import run_tool
from mmcascade.demo.self_cascade import run_self_cascade, table_rows

TOOLS = Path(__file__).resolve().parent
CONFIGS = TOOLS.parent / 'configs' / 'quickstart'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/quickstart/views'), help='gets the results')
    parser.add_argument('--data', default='data/fashion_mnist', help='folder of the data, fetched if it is not there')
    args = parser.parse_args()
    cfg = Config.fromfile(CONFIGS / 'self_cascade.py')
    member = cfg.model.members.augmented
    run_tool(TOOLS / 'dataset_converters' / 'fashion_mnist.py', args.data)
    if not is_trained(Path(member.checkpoint)):
        print('training the member', file=sys.stderr)
        run_tool(TOOLS / 'train.py', CONFIGS / 'augmented.py', '--work-dir', Path(member.checkpoint).parent, '--resume')
    args.work_dir.mkdir(parents=True, exist_ok=True)
    header, *rows = table_rows(run_self_cascade(cfg, args.work_dir))
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    Console(width=160).print(table)


if __name__ == '__main__':
    main()
