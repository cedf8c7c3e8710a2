# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A segmentation cascade as a plain loop over cells: slow, obvious, and what the router is compared with.

The image is neither resized nor mirrored. Members run through MMSegmentation's own ``test_step``.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.support.members.tiny_segmentors import sample


def scores_of(member, pixels):
    """Class scores (C, H, W) of a raw image, by MMSegmentation itself, and the multiply-adds they took."""
    height, width = pixels.shape[-2:]
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        (result,) = member.test_step(dict(inputs=[pixels], data_samples=[sample(height, width)]))
    return result.seg_logits.data.double().numpy(), counter.get_total_flops() / 2


def starts(whole, side):
    found = []
    while not found or found[-1] + side < whole:
        found.append(found[-1] + side if found else 0)
    return found


def cells_of(height, width, side):
    """(top, left, bottom, right) of every cell, row by row."""
    return [
        (top, left, min(top + side, height), min(left + side, width))
        for top in starts(height, side)
        for left in starts(width, side)
    ]


def crop_of(cell, side, margin, height, width):
    """(top, left, bottom, right) of its crop: a full cell that ends where the cell ends, with the margin around it."""
    ends = []
    for first, last, whole in ((cell[0], cell[2], height), (cell[1], cell[3], width)):
        length = min(side + 2 * margin, whole)
        begin = (first if last - first == side else last - side) - margin
        while begin < 0:
            begin += 1
        while begin + length > whole:
            begin -= 1
        ends.append((begin, begin + length))
    (top, bottom), (left, right) = ends
    return top, left, bottom, right


def softmax(z):
    e = np.exp(z - z.max(0))
    return e / e.sum(0)


def fuse(scores, fusion):
    """Probabilities (C, h, w) of what the stages gave."""
    if fusion == 'prob':
        return sum(softmax(z) for z in scores) / len(scores)
    return softmax(sum(scores) / len(scores) if fusion == 'logit' else scores[-1])


def pixel_confidence(name, scores, fusion):
    probs = fuse(scores, fusion)
    log_probs = np.log(np.maximum(probs, np.finfo(np.float32).tiny))
    if name == 'max_prob':
        return probs.max(0)
    if name == 'neg_entropy':
        return (probs * log_probs).sum(0)
    if name in ('prob_gap', 'logit_gap'):
        ordered = np.sort(probs if name == 'prob_gap' else log_probs, axis=0)
        return ordered[-1] - ordered[-2]
    if name in ('neg_mutual_information', 'neg_variation_ratio', 'agreement'):
        return pixel_agreement(name, [softmax(z) for z in (scores[-1:] if fusion == 'replace' else scores)], probs)
    judged = {'prob': scores, 'logit': [sum(scores) / len(scores)], 'replace': scores[-1:]}[fusion]
    if name == 'max_logit':
        return sum(z.max(0) for z in judged) / len(judged)
    return sum(np.log(np.exp(z).sum(0)) for z in judged) / len(judged)


def pixel_agreement(name, members, fused):
    """How far members agree on each pixel, from their probabilities (C, h, w)."""
    if name == 'neg_mutual_information':
        own = sum((p * np.log(np.maximum(p, np.finfo(np.float32).tiny))).sum(0) for p in members) / len(members)
        mean = sum(members) / len(members)
        return (mean * np.log(np.maximum(mean, np.finfo(np.float32).tiny))).sum(0) - own
    votes = sum((p.argmax(0) == np.arange(len(p))[:, None, None]).astype(float) for p in members) / len(members)
    if name == 'neg_variation_ratio':
        return votes.max(0) - 1
    return np.take_along_axis(votes, fused.argmax(0)[None], 0)[0]


def cell_score(name, scores, fusion, t_unk=0.5, reduce=np.mean):
    """The confidence of a cell; NaN where no pixel counts."""
    confidence = pixel_confidence(name, scores, fusion)
    best = fuse(scores, fusion).max(0)
    counted = [c for c, b in zip(confidence.ravel(), best.ravel(), strict=True) if t_unk is None or b > t_unk]
    return float(reduce(counted)) if counted else float('nan')


def goes_on(rule, score, empty):
    if rule is None:
        return False
    if np.isnan(score):
        return empty == 'go_on'
    low, high = rule
    return (low is None or score >= low) and (high is None or score <= high)


def loop_segmentor(
    members,
    pixels,
    side,
    rules,
    *,
    on=None,
    margin=0,
    confidence='max_prob',
    fusion='prob',
    t_unk=0.5,
    reduce=np.mean,
    empty='go_on',
):
    """Probabilities (C, H, W) of an image, one dict per cell, and the multiply-adds of the image.

    Args:
        members: one per stage.
        on: where each stage runs, by default the first on the image and all others on cells.
    """
    height, width = pixels.shape[-2:]
    on = on or ['image'] + ['cell'] * (len(members) - 1)
    total = {}
    whole = [scores_of(member, pixels) if place == 'image' else None for member, place in zip(members, on, strict=True)]
    cells, probs = [], None
    for top, left, bottom, right in cells_of(height, width, side):
        scores, macs = [], []
        for stage, member in enumerate(members):
            if on[stage] == 'image':
                maps, cost = whole[stage]
                scores.append(maps[:, top:bottom, left:right])
                total[stage] = cost  # once, whoever asks
            else:
                y, x, y2, x2 = crop_of((top, left, bottom, right), side, margin, height, width)
                maps, cost = scores_of(member, pixels[:, y:y2, x:x2])
                scores.append(maps[:, top - y : bottom - y, left - x : right - x])
                total[top, left, stage] = cost
                macs.append(cost)
            score = cell_score(confidence, scores, fusion, t_unk, reduce)
            if stage == len(members) - 1 or not goes_on(rules[stage], score, empty):
                break
        cells.append(dict(bbox=[left, top, right, bottom], confidence=score, exit_stage=stage, crop_macs=sum(macs)))
        if probs is None:
            probs = np.zeros((len(scores[0]), height, width))
        probs[:, top:bottom, left:right] = fuse(scores, fusion)
    return probs, cells, sum(total.values())
