# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A network as two members of a cascade, beside the library's own test step.

Compared are, for classifiers, the mean of two members against the mean of the library's own predictions; the exits and
costs of a threshold between two images; for segmentors, the labels of the first member alone, and of the second one on
the crops of all cells. For both, multiply-adds against torch's counter on a real row, and that nothing of the count is
left in a member.
"""

from __future__ import annotations

import contextlib
import copy
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import timm
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.registry import MODELS as MMENGINE_MODELS
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.models.members.member_configs import model_config
from mmcascade.models.members.members import build_member
from mmcascade.models.stages.segmentor_network import SegmentorNetwork
from mmcascade.routing import ThresholdPolicy, WindowPolicy

Found = dict[str, Any]
_SMALL = 64
_IMAGES = 3
_CLOSE = 1e-4
_SHARE = 1e-3


def check_classifier(model: str | dict[str, Any], own_size: int) -> Found:
    """A reference into a zoo, or a model dict."""
    start = time.perf_counter()
    built = _library_builds(model)
    if isinstance(built, str):
        return _refusal(model, built)
    if refusal := _refused(model):
        return _found('refused', refusal)
    for size in dict.fromkeys((_SMALL, own_size)):
        images = _images(_IMAGES, size)
        drawn = [_weights(built, seed, images) for seed in (0, 1)]
        members = [weights for weights in drawn if not isinstance(weights, str)]
        failed = [reason for reason in drawn if isinstance(reason, str)]
        if not failed:
            break
    else:
        return _found('library', failed[0])
    with tempfile.TemporaryDirectory() as folder:
        specs = {}
        for name, weights in zip('ab', members, strict=True):
            torch.save({'state_dict': weights}, f'{folder}/{name}.pth')
            specs[name] = dict(model=model, checkpoint=f'{folder}/{name}.pth')
        cascade = WindowCascadeClassifier(
            specs, [dict(member='a'), dict(member='b')], policy=WindowPolicy([(None, None)])
        )
        samples = cascade.test_step(dict(inputs=images))
        alone = [_predict(_loaded(built, weights), images) for weights in members]
        expected = torch.stack(alone).double().mean(0)
        got = torch.stack([sample.pred_score for sample in samples]).double()
        difference = float((got - expected).abs().max() / expected.abs().max())
        found = dict(
            size=size,
            parameters=sum(parameter.numel() for parameter in built.parameters()),
            macs=samples[0].macs / 2,
            ratio=_ratio(samples[0].macs / 2, built, images[:1]),
            difference=difference,
        )
        faults = [] if difference < _CLOSE else [f'predictions differ by {difference:.2g}']
        faults += _leftovers(cascade)
        faults += _threshold(specs, alone[0], images)
    status = 'fault' if faults else 'works'
    return _found(status, '; '.join(faults), **found, seconds=round(time.perf_counter() - start, 1))


def check_segmentor(model: str) -> Found:
    """A reference into a zoo."""
    start = time.perf_counter()
    built = _library_builds(model)
    if isinstance(built, str):
        return _refusal(model, built)
    for side in (128, 256, 512, 1024):
        images = _images(1, side)
        drawn = [_weights(built, seed, images) for seed in (0, 1)]
        members = [weights for weights in drawn if not isinstance(weights, str)]
        failed = [reason for reason in drawn if isinstance(reason, str)]
        if failed:
            status, reason = 'library', failed[0]
            continue
        specs = {}
        with tempfile.TemporaryDirectory() as folder:
            for name, weights in zip('ab', members, strict=True):
                torch.save({'state_dict': weights}, f'{folder}/{name}.pth')
                specs[name] = dict(model=model, checkpoint=f'{folder}/{name}.pth')
            try:
                cascade = CascadeSegmentor(
                    specs, [dict(member='a'), dict(member='b')], grid=dict(cell=side // 2), fusion='replace'
                )
            except ValueError as error:
                status, reason = 'refused', str(error)
                if 'fails on crops' in reason or 'smaller than the stride' in reason:
                    continue
                return _found('refused', reason[:300])
        faults = []
        for gap, crops in ((None, False), ((None, None), True)):
            routed = CascadeSegmentor(
                dict(cascade.members.items()),
                [dict(member='a'), dict(member='b')],
                grid=dict(cell=side // 2),
                fusion='replace',
                policy=WindowPolicy([gap]),
            )
            sample = routed.test_step(dict(inputs=[images[0]], data_samples=[_seg_sample(side)]))[0]
            labels = sample.pred_sem_seg.data[0]
            member = _loaded(built, members[1] if crops else members[0])
            expected = _labels(member, images, side // 2 if crops else side)
            share = float((labels != expected).float().mean())
            if share > _SHARE and (expected != _labels(member, images, side // 2 if crops else side)).any():
                return _found('library', 'draws at random when it predicts: no two runs of its own agree')
            if share > _SHARE:
                faults.append(f'{share:.2%} of pixels differ {"on crops" if crops else "on the image"}')
            if not crops:
                macs = sample.macs
        found = dict(
            size=side,
            parameters=sum(parameter.numel() for parameter in built.parameters()),
            macs=macs,
            ratio=_ratio(macs, built, images),
            difference=share,
        )
        faults += _leftovers(cascade)
        status = 'fault' if faults else 'works'
        return _found(status, '; '.join(faults), **found, seconds=round(time.perf_counter() - start, 1))
    return _found(status, reason[:300])


def smallest_of_timm(module: str, number: int) -> Found:
    """The names of the smallest networks of a timm module."""
    counted = []
    for name in timm.list_models(module=module)[:40]:
        # Some build their tables on a device of their own, which 'meta' is not.
        with contextlib.suppress(Exception), torch.device('meta'):
            network = timm.create_model(name)
            counted.append((sum(parameter.numel() for parameter in network.parameters()), name))
    return {'names': [name for _, name in sorted(counted)[:number]]}


def _found(status: str, reason: str = '', **numbers: Any) -> Found:
    return {'status': status, 'reason': reason, **numbers}


def _library_builds(model: str | Mapping[str, Any]) -> BaseModel | str:
    try:
        return MMENGINE_MODELS.build(ConfigDict(model_config(model))).eval()
    except Exception as error:  # libraries fail in many ways
        return f'{type(error).__name__}: {error}'.strip().splitlines()[0][:300]


def _refusal(model: str | Mapping[str, Any], library: str) -> Found:
    """What the library cannot build, we may refuse for a better reason."""
    reason = _refused(model)
    clear = reason is not None and 'cannot take part' in reason
    return _found('refused', reason or '') if clear else _found('library', library)


def _refused(model: str | Mapping[str, Any]) -> str | None:
    try:
        build_member('a', model)
    except (ValueError, FileNotFoundError) as error:
        return str(error).splitlines()[0][:300]
    return None


def _images(number: int, size: int) -> Tensor:
    """Raw images with structure at two scales."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(number, 3, 4, 4, generator=generator) * 200
    fine = torch.rand(number, 3, size, size, generator=generator) * 55
    return (nn.functional.interpolate(coarse, size) + fine).to(torch.uint8)


@torch.no_grad()
def _weights(built: nn.Module, seed: int, images: Tensor) -> dict[str, Tensor] | str:
    """Random weights that keep images apart, with batch norm settled; or why the library does not run on them."""
    module = copy.deepcopy(built)  # networks keep what they compute for a size, in buffers too
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    with contextlib.suppress(Exception):  # one value per channel, for instance: the statistics stay what they are
        for norm in norms:
            norm.train().momentum = 1.0
        _run(module, images if len(images) > 1 else torch.cat([images, images.flip(-1)]))
    for norm in norms:
        norm.eval()
        if norm.running_var is not None and norm.running_mean is not None:
            norm.running_var.nan_to_num_(1.0).clamp_(min=1e-3)
            norm.running_mean.nan_to_num_(0.0)
    try:
        _run(module, images)
    except Exception as error:
        return f'{type(error).__name__}: {error}'.strip().splitlines()[0][:300]
    settled = module.state_dict()
    return {key: settled[key] if settled[key].shape == x.shape else x for key, x in built.state_dict().items()}


def _loaded(built: BaseModel, weights: Mapping[str, Tensor]) -> BaseModel:
    module = copy.deepcopy(built)
    # Some networks drop what they compute anew from the weights before torch looks for it, and then it is missing.
    absent, unknown = module.load_state_dict(weights, strict=False)
    if unknown or not weights.keys() >= set(absent):
        raise RuntimeError(f'the network does not load its own weights: {absent[:3]}, {unknown[:3]}')
    return module.eval()  # some networks derive tensors from their weights when they enter eval mode


@torch.no_grad()
def _run(module: BaseModel, images: Tensor) -> Tensor:
    if hasattr(module, 'decode_head'):
        return SegmentorNetwork(module)(images).values
    return _predict(module, images)


@torch.no_grad()
def _predict(module: BaseModel, images: Tensor) -> Tensor:
    samples = module.test_step(dict(inputs=images, data_samples=None))
    return torch.stack([sample.pred_score for sample in samples])


def _threshold(specs: Mapping[str, Any], first: Tensor, images: Tensor) -> list[str]:
    """Faults of a cascade whose threshold lies between two images."""
    scores = first.float().max(1).values
    ordered = scores.sort().values
    if float(ordered[1] - ordered[0]) < _CLOSE:
        return []
    threshold = float((ordered[0] + ordered[1]) / 2)
    cascade = WindowCascadeClassifier(specs, [dict(member='a'), dict(member='b')], policy=ThresholdPolicy([threshold]))
    samples = cascade.test_step(dict(inputs=images))
    exits = [sample.exit_stage for sample in samples]
    expected = (scores <= threshold).long().tolist()
    if exits != expected:
        return [f'exits {exits} instead of {expected}']
    costs = {sample.macs / (sample.exit_stage + 1) for sample in samples}
    return [] if len(costs) == 1 else [f'costs per stage {sorted(costs)}']


def _leftovers(cascade: nn.Module) -> list[str]:
    waiting = [value for part in cascade.modules() for value in vars(part).values()]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor) and (isinstance(value, FakeTensor) or value.is_meta):
            return ['a tensor without values is left in a member']
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, (list, tuple)):
            waiting.extend(value)
    return []


def _real_macs(call: Any) -> float:
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 2


def _ratio(macs: float, module: nn.Module, image: Tensor) -> float | None:
    """Our count over torch's for one real row."""
    module = copy.deepcopy(module)
    for parameter in module.parameters():
        parameter.requires_grad_(False)  # torch's counter hooks gradients, which some networks do not survive
    real = _real_macs(lambda: _run(module, image))
    return macs / real if real else None


def _seg_sample(side: int) -> Any:
    from mmseg.structures import SegDataSample

    return SegDataSample(metainfo=dict(ori_shape=(side, side), img_shape=(side, side)))


@torch.no_grad()
def _labels(module: BaseModel, images: Tensor, cell: int) -> Tensor:
    """The library's own labels of an image, or of every crop of it by itself."""
    side = images.shape[-1]
    labels = torch.empty(side, side, dtype=torch.long)
    for top in range(0, side, cell):
        for left in range(0, side, cell):
            crop = images[0, :, top : top + cell, left : left + cell]
            sample = module.test_step(dict(inputs=[crop], data_samples=[_seg_sample(cell)]))[0]
            labels[top : top + cell, left : left + cell] = sample.pred_sem_seg.data[0]
    return labels
