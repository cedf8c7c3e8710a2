# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade as a plain loop over units and members: slow, obvious, and what everything is compared with."""

from __future__ import annotations

import numpy as np
import torch

TINY = np.float32(torch.finfo(torch.float32).tiny)


def rowwise(function, x):
    """torch's own result for one row, as numpy."""
    return function(torch.from_numpy(np.ascontiguousarray(x))[None])[0].numpy()


def softmax(z):
    return rowwise(lambda t: t.softmax(1), z)


def log_softmax(z):
    return np.maximum(rowwise(lambda t: t.log_softmax(1), z), np.log(np.float64(TINY)).astype(np.float32))


def log(p):
    return rowwise(torch.log, np.maximum(p, TINY))


def logsumexp(z):
    return rowwise(lambda t: t.logsumexp(1), z)


def confidence_of(name, fusion, members):
    """The confidence after the given members' logits (each already divided by nothing: T = 1)."""
    members = [z for z in members if np.isfinite(z).all()]
    if not members:
        return np.float32(-np.inf), None
    n = np.float32(len(members))
    if fusion == 'prob':
        p = sum(softmax(z) for z in members) / n
        log_p = log(p)
    elif fusion == 'logit':
        mean = sum(members) / n
        p, log_p = softmax(mean), log_softmax(mean)
    else:
        mean, n = members[-1], np.float32(1)
        p = softmax(mean)
        log_p = log(p)
    if name == 'max_prob':
        value = p.max()
    elif name == 'prob_gap':
        value = np.sort(p)[-1] - np.sort(p)[-2]
    elif name == 'neg_entropy':
        value = rowwise(lambda t: t.sum(1, keepdim=True), p * log_p)[0]
    elif name == 'logit_gap':
        top = np.sort(mean if fusion == 'logit' else log_p)
        value = top[-1] - top[-2]
    elif name in ('neg_mutual_information', 'neg_variation_ratio', 'agreement'):
        value = agreement_of(name, [softmax(z) for z in (members[-1:] if fusion == 'replace' else members)], p)
    else:
        score = logsumexp if name == 'energy' else np.max
        scored = [mean] if fusion in ('logit', 'replace') else members
        value = sum(np.float32(score(z)) for z in scored) / np.float32(len(scored))
    return value, p


def agreement_of(name, probs, fused):
    """How far members with these distributions agree."""
    if name == 'neg_mutual_information':
        mean, own = sum(probs) / np.float32(len(probs)), sum(neg_entropy(p) for p in probs) / np.float32(len(probs))
        return min(neg_entropy(mean) - own, np.float32(0))
    votes = [int(p.argmax()) for p in probs]
    count = max(votes.count(c) for c in votes) if name == 'neg_variation_ratio' else votes.count(int(fused.argmax()))
    share = np.float32(count) / np.float32(len(votes))
    return share - np.float32(1) if name == 'neg_variation_ratio' else share


def neg_entropy(p):
    return rowwise(lambda t: t.sum(1, keepdim=True), p * log(p))[0]


def goes_on(rule, confidence):
    """rule: None (closed), a number (threshold) or a pair (window)."""
    if rule is None:
        return False
    if confidence == -np.inf:
        return True
    if isinstance(rule, (int, float)):
        return confidence <= np.float32(rule)
    low, high = rule
    return (low is None or confidence >= np.float32(low)) and (high is None or confidence <= np.float32(high))


def loop_cascade(logits, rules, confidence='max_prob', fusion='prob', macs=None):
    """One dict per unit; ``logits`` is a list of (N, C) arrays, one per stage."""
    macs = macs or [0.0] * len(logits)
    results = []
    for unit in range(len(logits[0])):
        for stage in range(len(logits)):
            run = [z[unit] for z in logits[: stage + 1]]
            value, probs = confidence_of(confidence, fusion, run)
            if stage == len(logits) - 1 or not goes_on(rules[stage], value):
                break
        if probs is None:
            probs = np.full(logits[0].shape[1], 1 / logits[0].shape[1], dtype=np.float32)
        results.append(
            dict(
                confidence=value,
                probs=probs,
                label=int(probs.argmax()),
                exit_stage=stage,
                macs=float(sum(macs[: stage + 1])),
                finite=sum(bool(np.isfinite(z).all()) for z in run),
            )
        )
    return results
