# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Whether DriftMonitor notices blur, noise and low contrast, and is silent where nothing has changed.

    python benchmarks/headline/drift.py --json benchmarks/results/drift.json

A cascade of the ResNets for CIFAR-10 is calibrated on the stored scores of headline.py, and its members run
on test photographs that were changed. Each row says how many of several windows of images were flagged, and what the
corruption does to the risk among accepted images, which nobody sees without labels. `mmcascade data cifar10` brings the
photographs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from headline import stores_of
from headline_systems import Pool, Setting
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from numpy.typing import NDArray
from torch import Tensor

from mmcascade.calibration.fit.calibrate import fit
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.replay.replay import Replay, replay
from mmcascade.models.members.members import build_member
from mmcascade.routing import CachedStage
from mmcascade.runtime import DriftMonitor, Expected

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, report

Pixels = NDArray[np.float32]


def blurred(pixels: Pixels, sigma: float) -> Pixels:
    """By a Gaussian of ``sigma`` pixels; pixels ``(N, H, W, 3)`` in 0..255, as in all corruptions."""
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in pixels])


def noisy(pixels: Pixels, deviation: float) -> Pixels:
    """By Gaussian noise with a standard deviation in grey levels."""
    noise = np.random.default_rng(0).normal(0, deviation, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.float32)


def paled(pixels: Pixels, factor: float) -> Pixels:
    """Contrast times a factor, around each image's mean."""
    mean = pixels.mean((1, 2, 3), keepdims=True)
    return mean + factor * (pixels - mean)


#: Per name, a corruption and three strengths of it.
CORRUPTIONS: dict[str, tuple[Callable[[Pixels, float], Pixels], tuple[float, ...]]] = {
    'blur': (blurred, (0.5, 0.8, 1.2)),
    'noise': (noisy, (5.0, 10.0, 20.0)),
    'contrast': (paled, (0.8, 0.5, 0.3)),
}


def photographs(config: str, count: int, folder: str | None) -> tuple[Pixels, NDArray[np.int64]]:
    """Test photographs, evenly spread, and their labels."""
    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    if folder:
        cfg.test_dataloader.dataset.dataset.data_root = folder
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    chosen = [dataset[len(dataset) * k // count] for k in range(count)]
    pixels = np.stack([each['inputs'].permute(1, 2, 0).numpy() for each in chosen]).astype(np.float32)
    return pixels, np.array([int(each['data_samples'].gt_label) for each in chosen])


@torch.no_grad()
def logits_of(config: str, name: str, pixels: Pixels) -> Tensor:
    """What a member says of photographs, 250 at a time."""
    member = Config.fromfile(config).model.members[name]
    module: Any = build_member(name, member.model, member.checkpoint).module.eval()
    parts = torch.from_numpy(pixels.round().astype(np.uint8)).permute(0, 3, 1, 2).split(250)
    return torch.cat([module(module.data_preprocessor(dict(inputs=part))['inputs'], mode='tensor') for part in parts])


def windows_flagged(
    calibration: Calibration, result: Replay, wrong: NDArray[np.bool_], size: int, windows: int
) -> dict[str, Any]:
    """How many windows of ``size`` images, drawn without replacement, are flagged, and by which shares."""
    assert calibration.accept is not None
    measured = calibration.measured
    expected = Expected(measured['units'], tuple(measured['reached'][1:]), measured['coverage'])
    accepted = result.confidence >= calibration.accept
    flagged, names = 0, set()
    for seed in range(windows):
        rows = np.random.default_rng(seed).permutation(len(wrong))[:size]
        monitor = DriftMonitor(expected, window=size)
        monitor.update(result.exit_stage[rows].tolist(), accepted[rows].tolist())
        drifted = [drift.name for drift in monitor.report() if drift.drifted]
        flagged += bool(drifted)
        names.update(drifted)
    return dict(
        images=size,
        windows=windows,
        flagged=flagged,
        by=', '.join(sorted(names)) or '-',
        stage1=100 * float((result.exit_stage > 0).mean()),
        accepted=100 * float(accepted.mean()),
        accuracy=100 * float(1 - wrong.mean()),
        risk=100 * float(wrong[accepted].mean()),
    )


def rows_of(
    calibration: Calibration, pool: Pool, pixels: Pixels, labels: NDArray[np.int64], config: str, sizes: Sequence[int]
) -> list[dict[str, Any]]:
    rows = []
    jobs: list[tuple[str, float | None, Pixels]] = [('none', None, pixels)]
    jobs += [(name, x, change(pixels, x)) for name, (change, strengths) in CORRUPTIONS.items() for x in strengths]
    for name, strength, changed in jobs:
        stages = [
            CachedStage(logits_of(config, member, changed), temperature=temperature)
            for member, temperature in zip(pool.chain, calibration.temperatures, strict=True)
        ]
        result = replay(stages, calibration.policy(), len(labels))
        for size in sizes:
            found = windows_flagged(calibration, result, result.label != labels, size, 20)
            rows.append(dict(corruption=name, strength=strength, **found))
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('--config', default='configs/cifar10/family.py')
    parser.add_argument('--chain', nargs='+', default=['resnet20', 'resnet32'], help='names of members in order')
    parser.add_argument('--data-root', help="of the photographs (default: the config's)")
    parser.add_argument('--images', type=int, default=2000, help='photographs to change')
    parser.add_argument('--windows', type=int, nargs='+', default=[200, 1000], help='images that a monitor sees')
    args = parser.parse_args()
    setting = Setting()
    pool = Pool(stores_of('cifar10', {}), args.chain)
    known = np.arange(pool.known)
    seen = pool.evidence(pool.scaled(known, setting.temperatures)).only(known)
    calibration = fit(seen, CalibrationRequest(setting.target, temperatures='none'))
    pixels, labels = photographs(args.config, args.images, args.data_root)
    report(rows_of(calibration, pool, pixels, labels, args.config, args.windows), args.json)


if __name__ == '__main__':
    main()
