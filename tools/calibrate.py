# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Place the windows and the accept threshold of a cascade on its calibration split (val_dataloader).

Example: tools/calibrate.py CONFIG work_dirs/calibration.json --target risk=0.05
Then set model.calibration to that file and test.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmengine.config import Config, DictAction
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmcascade.calibration.fit import fit_store
from mmcascade.calibration.operating_point import Target
from mmcascade.engine.calibrate import prepare_store
from mmcascade.visualization.calibration_plot import plot_calibration


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the cascade; a config is a program, so read it before you run it')
    parser.add_argument('out', help='the calibration file to write (.json); a picture is put beside it (.png)')
    parser.add_argument('--target', required=True, help='what accepting should reach: risk=0.05 (share of errors among '
                        'the accepted), coverage=0.8 (share accepted) or tpr=0.95')
    parser.add_argument('--half-width', type=float, default=0.10, help='share of units in the window on each side of '
                        'tau (default 0.10)')
    parser.add_argument('--rule', choices=['safe', 'paper'], default='safe', help='how tau is placed: meet the '
                        'target on the calibration split, or the point nearest to it as in the paper')
    parser.add_argument('--store', help='folder for the scores of all stages (default: OUT.store beside OUT.json); '
                        'an interrupted run continues there')
    parser.add_argument('--amp', action='store_true', help='run the members in mixed precision')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings: key=value pairs')
    args = parser.parse_args()
    if not args.out.endswith('.json'):
        parser.error(f'the calibration file ends with .json, got {args.out}')
    return args


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    bar = Progress(TextColumn('running all stages'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        Target.parse(args.target)  # before the long run, not after it
        with bar:
            task = bar.add_task('')
            store, identity = prepare_store(
                cfg, args.store or args.out.removesuffix('.json') + '.store', amp=args.amp,
                progress=lambda done, total: bar.update(task, completed=done, total=total))
        calibration = fit_store(store, identity, args.target, half_width=args.half_width, rule=args.rule)
    except ValueError as error:
        raise SystemExit(f'error: {error}') from None
    except KeyboardInterrupt:
        raise SystemExit('interrupted; the same command continues where it stopped') from None
    calibration.save(args.out)
    picture = Path(args.out).with_suffix('.png')
    plot_calibration(store, calibration, picture)
    print(f'{args.out}: windows {calibration.windows}, accept at {calibration.accept:.6g}')
    print(f'on {store.units} calibration units: {calibration.measured}')
    print(f'{picture}')


if __name__ == '__main__':
    main()
