# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Fit the thresholds of a segmentation cascade on stored cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcascade.calibration.fit.calibration_file import Calibration
from mmcascade.calibration.fit.cell_shares import CellShares
from mmcascade.calibration.fit.deferred_shares import MAX_STEPS
from mmcascade.calibration.fit.operating_point import Target
from mmcascade.calibration.fit.windows import check_spread
from mmcascade.calibration.replay.cell_costs import worst_case
from mmcascade.calibration.replay.cell_exits import cell_exits
from mmcascade.calibration.replay.cell_replay import replay_cells
from mmcascade.calibration.replay.exits import Chain
from mmcascade.calibration.stores.cell_store import CellStore
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.routing import ExitPolicy, WindowPolicy
from mmcascade.routing.policies.cell_budget_policy import CellBudgetPolicy

_STEPS_WITH_LATER_GAPS = 1000


def fit_cells(store: CellStore, identity: CascadeIdentity, target: str, *, max_cells: int | None = None) -> Calibration:
    """Fit the one-sided windows ``(None, t)`` of a segmentation cascade that meet a target on the calibration images.

    In each gap the same share of the cells that reach it goes on, the least confident ones; shares are tried in steps
    of one cell, or coarser ones where there are very many. ``miou=``: of all shares that reach the mIoU, the one with
    the least multiply-adds. ``macs=``: of all shares within the budget, which is a mean per image, the one with the
    best mIoU. ``deferred=``: that share. The figures are exact, ties and budget included.

    Args:
        store: a complete store of the cascade's stages, in order.
        identity: the cascade.
        target: what to reach, such as 'miou=0.72'.
        max_cells: how many cells of an image may go on after stage 0, which bounds the cost of the worst image; None =
            any number.

    Raises:
        ValueError: if the target is none of these or cannot be reached, with what is feasible; or if the store belongs
            to another cascade.
    """
    wanted = check_cell_target(target)
    _check_fits(store, identity)
    chain = tuple(range(store.stages))
    cells = store.cells
    exits = cell_exits(cells, store.subsets, chain, store.header.fusion)
    for gap, exit_ in enumerate(exits[:-1]):
        check_spread(exit_.confidence, gap)
    shares = CellShares(cells, exits, cells.macs, store.on, chain, store.header.empty, max_cells)
    windows = shares.windows(_share(shares, wanted, len(cells), len(chain) - 1, max_cells))
    policy = WindowPolicy(windows) if max_cells is None else CellBudgetPolicy(windows, max_cells)
    return Calibration(
        cascade=identity,
        windows=windows,
        accept=None,
        temperatures=list(store.header.temperatures),
        target=target,
        rule='safe',
        half_width=0.0,
        tau=[],
        data=store.header.identity.data.summary(),
        measured=measure_cells(store, chain, policy, max_cells=max_cells),
        max_cells=max_cells,
    )


def share_curve(
    store: CellStore, *, max_cells: int | None = None, steps: int = 200
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """mIoU and mean multiply-adds per image of the cascade of all stages, at rising shares of cells that go on."""
    chain, cells = tuple(range(store.stages)), store.cells
    exits = cell_exits(cells, store.subsets, chain, store.header.fusion)
    shares = CellShares(cells, exits, cells.macs, store.on, chain, store.header.empty, max_cells)
    return shares.figures(np.arange(steps + 1) / steps * shares.able)


def check_cell_target(target: str) -> Target:
    """The target of a segmentation cascade, before any long run.

    Raises:
        ValueError: if it is a target of classifiers, or malformed.
    """
    wanted = Target.parse(target)
    if wanted.is_decision:
        raise ValueError(
            f'{target} asks for a decision to accept a prediction, and a label map is not accepted or '
            'rejected as a whole; the targets of segmentation cascades are miou=, macs= and deferred='
        )
    if wanted.kind == 'accuracy':
        raise ValueError(f'{target} is a target of classifiers; the quality of segmentations is miou=')
    return wanted


def measure_cells(
    store: CellStore,
    chain: Chain,
    policy: ExitPolicy,
    *,
    max_cells: int | None = None,
    images: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """What a cascade reaches on images of a store, as a calibration file says it; fractions and multiply-adds.

    Args:
        store, chain, policy, images: see :func:`~mmcascade.calibration.replay.cell_replay.replay_cells`.
        max_cells: as the policy keeps it.
    """
    result = replay_cells(store, chain, policy, images)
    reachable = next((gap for gap in range(policy.num_gaps) if policy.is_closed(gap)), policy.num_gaps) + 1
    cells = store.cells if images is None else store.cells.select(np.isin(store.cells.image, images))
    return {
        'images': len(result.macs),
        'cells': len(result.image),
        'miou': result.miou(),
        'macs': float(result.macs.mean()),
        'reached': result.reached,
        'deferred': result.deferred,
        'worst_case': worst_case(cells.macs, store.on, chain[:reachable], result.image, len(result.macs), max_cells),
    }


def _share(shares: CellShares, wanted: Target, cells: int, gaps: int, max_cells: int | None) -> float:
    if wanted.kind == 'deferred':
        if max_cells is not None and round(wanted.value * cells) > round(shares.able * cells):
            raise ValueError(
                f'deferred={wanted.value:g} cannot be reached: with at most {max_cells} cells of an '
                f'image, at most {shares.able:.4f} of the cells go on'
            )
        return wanted.value
    steps = min(cells, MAX_STEPS if gaps < 2 else _STEPS_WITH_LATER_GAPS)
    tried = np.arange(steps + 1) / steps
    quality, costs = shares.figures(tried)
    if wanted.kind == 'miou':
        feasible, order = quality >= wanted.value - 1e-12, np.lexsort((-quality, costs))
    else:
        feasible, order = costs <= wanted.value * (1 + 1e-12), np.lexsort((costs, -quality))
    if not feasible.any():
        raise ValueError(
            f'{wanted.kind}={wanted.value:g} cannot be reached: from stage 0 alone to as many cells as may go on, the '
            f'mIoU lies between {quality.min():.4f} and {quality.max():.4f} and the cost between {costs.min():.6g} and '
            f'{costs.max():.6g} multiply-adds per image'
        )
    return float(tried[order[feasible[order]][0]])


def _check_fits(store: CellStore, identity: CascadeIdentity) -> None:
    header = store.header
    here = {'stages': len(identity.stages), 'fusion': identity.fusion, 'confidence': identity.confidence}
    there = {'stages': store.stages, 'fusion': header.fusion, 'confidence': header.confidence}
    if here != there:
        raise ValueError(f'the store {store.folder} was filled by another cascade: it has {there}, and this one {here}')
