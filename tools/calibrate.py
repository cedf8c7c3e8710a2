# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Fit the windows, scores and accept threshold of a cascade on its calibration split (val_dataloader).

Example: tools/calibrate.py CONFIG work_dirs/calibration.json --target risk=0.05
Then set model.calibration to that file and test.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure
from mmengine.config import Config, DictAction

from mmcascade.calibration.fit.adjust import adjust, refit
from mmcascade.calibration.fit.calibration_file import Calibration
from mmcascade.calibration.fit.cell_fit import check_cell_target, fit_cells
from mmcascade.calibration.fit.fit import MAPS, TEMPERATURES, check_request, fit_store
from mmcascade.calibration.fit.operating_point import Target
from mmcascade.calibration.fit.summary import summary_lines
from mmcascade.calibration.fit.windows import FIT_ON
from mmcascade.engine.configs.runtimes import set_runtime
from mmcascade.engine.configs.tta import repeat_stages
from mmcascade.engine.console.arguments import add_runtime
from mmcascade.engine.console.command_line import one_line_errors, progress_bar
from mmcascade.engine.runs.calibrate import prepare_store, prepare_stream
from mmcascade.models.cascades import task_of
from mmcascade.visualization.calibration_plot import plot_calibration
from mmcascade.visualization.cell_calibration_plot import plot_cell_calibration
from mmcascade.visualization.style import save


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the cascade; a config is a program, so read it before you run it')
    parser.add_argument('out', help='the calibration file to write (.json); a picture is put beside it (.png)')
    parser.add_argument(
        '--target',
        required=True,
        help='what to reach on the calibration split. By windows around the '
        'decision to accept: risk=0.05 (share of errors among the accepted), coverage=0.8 (share '
        'accepted) or tpr=0.95. By one-sided thresholds: accuracy=0.93 at the lowest cost, macs=3e8 '
        '(mean per image) at the best accuracy, or deferred=0.2 (share that goes on in each gap). '
        'Segmentation cascades take miou=0.7, macs= and deferred=',
    )
    parser.add_argument(
        '--max-cells',
        type=int,
        metavar='K',
        help='let at most K cells of an image go on after stage '
        '0 of a segmentation cascade, which bounds the cost of the worst image',
    )
    parser.add_argument(
        '--accept',
        help='what the accept threshold should reach, where the target does not say it: risk=, coverage= or tpr=',
    )
    parser.add_argument(
        '--half-width',
        type=float,
        default=0.10,
        help='share of the units of a gap in its window on each side of tau (default 0.10)',
    )
    parser.add_argument(
        '--rule',
        choices=['safe', 'paper'],
        default='safe',
        help='how tau is placed: meet the target on the calibration split, or the point nearest to it as in the paper',
    )
    parser.add_argument(
        '--fit-on',
        choices=FIT_ON,
        default='reached',
        help="whose scores the width of a gap's window "
        'is measured on: the units that reach the gap, or all, as in the paper',
    )
    parser.add_argument('--temperatures', choices=TEMPERATURES, default='none', help='fit one temperature per stage')
    parser.add_argument(
        '--maps',
        choices=MAPS,
        default='none',
        help='fit one monotone map per exit from score to '
        'probability of being right, so that scores of different exits compare',
    )
    parser.add_argument(
        '--certify',
        type=float,
        metavar='DELTA',
        help='promise the risk for unseen images, except '
        'with probability DELTA; on a part of the calibration split that nothing else is fitted on',
    )
    parser.add_argument('--certify-share', type=float, default=0.5, help='that part (default 0.5)')
    parser.add_argument('--seed', type=int, default=0, help='of the draw of that part')
    parser.add_argument(
        '--adjust-on',
        metavar='KEY',
        help='re-centre the window of gap 0 on the images of this '
        'dataloader of the config, such as test_dataloader; their labels are not used',
    )
    parser.add_argument(
        '--adapt',
        type=int,
        metavar='N',
        help='re-centre the window of gap 0 at run time on the last N images; results then depend on their order',
    )
    parser.add_argument(
        '--store',
        help='folder for the scores of all stages (default: OUT.store beside OUT.json); '
        'an interrupted run continues there',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='calibrate the cascade of tools/test.py --tta, which may stop between two augmentations',
    )
    parser.add_argument('--amp', action='store_true', help='run the members in mixed precision')
    add_runtime(parser)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings: key=value pairs')
    args = parser.parse_args()
    if not args.out.endswith('.json'):
        parser.error(f'the calibration file ends with .json, got {args.out}')
    return args


def main() -> None:
    args = parse_args()
    with one_line_errors(ValueError):
        cfg = Config.fromfile(args.config)
        if args.cfg_options:
            cfg.merge_from_dict(args.cfg_options)
        set_runtime(cfg, args.runtime, args.amp)
        (calibrate_cells if task_of(cfg) == 'segmentation' else calibrate)(args, cfg)


def calibrate(args: argparse.Namespace, cfg: Config) -> None:
    _refuse(args, ['max_cells'], 'a cascade of classifiers has no cells')
    if not Target.parse(args.target).is_decision:
        _refuse(
            args,
            ['rule', 'fit_on', 'half_width'],
            f'they place windows around a decision, and {args.target} gives one-sided thresholds',
        )
    check_request(
        args.target,
        args.accept,
        maps=args.maps,
        temperatures=args.temperatures,
        certify=args.certify,
        half_width=args.half_width,
        certify_share=args.certify_share,
        adapt=args.adapt,
        follows_stream=args.adapt is not None or args.adjust_on is not None,
    )
    if args.tta:
        repeat_stages(cfg, [split for split in ('val_dataloader', 'test_dataloader') if cfg.get(split)])
    stem = args.out.removesuffix('.json')
    stream = None
    if args.adjust_on:
        with progress_bar(f'running stage 0 on {args.adjust_on}') as progress:
            stream = prepare_stream(cfg, args.adjust_on, f'{stem}.stream', amp=args.amp, progress=progress)
    with progress_bar('running all stages') as progress:
        store, identity = prepare_store(cfg, args.store or f'{stem}.store', amp=args.amp, progress=progress)
    calibration = fit_store(
        store,
        identity,
        args.target,
        accept=args.accept,
        half_width=args.half_width,
        rule=args.rule,
        fit_on=args.fit_on,
        maps=args.maps,
        temperatures=args.temperatures,
        certify=args.certify,
        certify_share=args.certify_share,
        seed=args.seed,
    )
    if stream:
        calibration = refit(adjust(calibration, stream.stages()[0], stream.units), store)
    if args.adapt is not None:
        calibration = replace(calibration, adapt=args.adapt)
        calibration.policy()  # refuses a cascade without a gap before the file is written
    _finish(args, calibration, partial(plot_calibration, store))


def calibrate_cells(args: argparse.Namespace, cfg: Config) -> None:
    _refuse(
        args,
        ['accept', 'certify', 'adjust_on', 'adapt', 'tta'],
        'a label map is not accepted or rejected, and its cells follow one-sided thresholds',
    )
    _refuse(
        args,
        ['maps', 'temperatures', 'rule', 'fit_on', 'half_width'],
        'these place windows around a decision; a segmentation cascade takes the temperatures of its config',
    )
    check_cell_target(args.target)
    with progress_bar('running all stages on all cells') as progress:
        store, identity = prepare_store(
            cfg, args.store or f'{args.out.removesuffix(".json")}.store', amp=args.amp, progress=progress
        )
    calibration = fit_cells(store, identity, args.target, max_cells=args.max_cells)
    _finish(args, calibration, partial(plot_cell_calibration, store))


def _refuse(args: argparse.Namespace, names: list[str], reason: str) -> None:
    """Flags that would be ignored are an error."""
    defaults = {
        'rule': 'safe',
        'fit_on': 'reached',
        'half_width': 0.10,
        'maps': 'none',
        'temperatures': 'none',
        'tta': False,
    }
    given = [f'--{name.replace("_", "-")}' for name in names if getattr(args, name) != defaults.get(name)]
    if given:
        raise ValueError(f'leave {", ".join(given)} out: {reason}')


def _finish(args: argparse.Namespace, calibration: Calibration, plot: Callable[[Calibration], Figure]) -> None:
    calibration.save(args.out)
    picture = Path(args.out).with_suffix('.png')
    save(plot(calibration), picture)
    print('\n'.join([args.out, *summary_lines(calibration), str(picture)]))


if __name__ == '__main__':
    main()
