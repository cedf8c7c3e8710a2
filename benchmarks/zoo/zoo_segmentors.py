# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A segmentor as two members of a cascade, beside the library's own test step.

Compared are the labels of the first member alone, and of the second one on the crops of all cells; multiply-adds with
torch's counter on a real row; and that nothing of the count is left in a member.
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor
from zoo_found import Found, found, leftovers, macs_ratio, not_built
from zoo_networks import Weights, draw_images, draw_two, library_builds, loaded, member_specs

from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.routing import ExitPolicy, WindowPolicy

_SIDES = (128, 256, 512, 1024)
_SHARE = 1e-3
#: What is said of an image that is too small for the network.
_TOO_SMALL = ('fails on crops', 'smaller than the stride')


def check_segmentor(model: str | dict[str, Any]) -> Found:
    """A reference into a zoo, or a model dict."""
    start = time.perf_counter()
    built = library_builds(model)
    if isinstance(built, str):
        return not_built(model, built)
    for side in _SIDES:
        images = draw_images(1, side)
        members = draw_two(built, images)
        if isinstance(members, str):
            last = found('library', members)
            continue
        try:
            cascade = _cascade_of(model, members, side)
        except ValueError as error:
            last = found('refused', str(error)[:300])
            if any(words in str(error) for words in _TOO_SMALL):
                continue
            return last
        checked = _beside_the_library(cascade, built, members, images)
        return checked if 'size' not in checked else checked | {'seconds': round(time.perf_counter() - start, 1)}
    return last


def _cascade_of(model: str | dict[str, Any], members: tuple[Weights, Weights], side: int) -> CascadeSegmentor:
    with tempfile.TemporaryDirectory() as folder:
        return _cascade(member_specs(model, members, folder), side)


def _cascade(members: dict[str, Any], side: int, policy: ExitPolicy | None = None) -> CascadeSegmentor:
    stages = [dict(member='a'), dict(member='b')]
    return CascadeSegmentor(members, stages, grid=dict(cell=side // 2), fusion='replace', policy=policy)


def _beside_the_library(
    cascade: CascadeSegmentor, built: BaseModel, members: tuple[Weights, Weights], images: Tensor
) -> Found:
    side = images.shape[-1]
    faults = []
    for gap, crops in ((None, False), ((None, None), True)):
        routed = _cascade(dict(cascade.members.items()), side, WindowPolicy([gap]))
        sample = routed.test_step(dict(inputs=[images[0]], data_samples=[_sample(side)]))[0]
        member, cell = loaded(built, members[1] if crops else members[0]), side // 2 if crops else side
        expected = _labels(member, images, cell)
        share = float((sample.pred_sem_seg.data[0] != expected).float().mean())
        if share > _SHARE and (expected != _labels(member, images, cell)).any():
            return found('library', 'draws at random when it predicts: no two runs of its own agree')
        # Rounding of random weights: the library's own labels of crops depend on how many it gets at once.
        rounding = float((expected != _labels(member, images, cell, at_once=2)).float().mean())
        if share > max(_SHARE, rounding):
            faults.append(f'{share:.2%} of pixels differ {"on crops" if crops else "on the image"}')
        if not crops:
            macs = sample.macs
    numbers = dict(
        size=side,
        parameters=sum(parameter.numel() for parameter in built.parameters()),
        macs=macs,
        ratio=macs_ratio(macs, built, images),
        difference=share,
    )
    faults += leftovers(cascade)
    return found('fault' if faults else 'works', '; '.join(faults), **numbers)


def _sample(side: int) -> Any:
    from mmseg.structures import SegDataSample

    return SegDataSample(metainfo=dict(ori_shape=(side, side), img_shape=(side, side)))


@torch.no_grad()
def _labels(module: Any, images: Tensor, cell: int, at_once: int = 1) -> Tensor:
    """The library's own labels of an image, or of its crops, so many at once."""
    side = images.shape[-1]
    labels = torch.empty(side, side, dtype=torch.long)
    places = [(top, left) for top in range(0, side, cell) for left in range(0, side, cell)]
    for start in range(0, len(places), at_once):
        some = places[start : start + at_once]
        crops = [images[0, :, top : top + cell, left : left + cell] for top, left in some]
        samples = module.test_step(dict(inputs=crops, data_samples=[_sample(cell) for _ in some]))
        for (top, left), sample in zip(some, samples, strict=True):
            labels[top : top + cell, left : left + cell] = sample.pred_sem_seg.data[0]
    return labels
