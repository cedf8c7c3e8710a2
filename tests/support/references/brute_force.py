# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Slow, obvious versions of every curve and summary, and the inputs they are compared on."""

from __future__ import annotations

import math

import numpy as np


def expected_errors(confidence, error, k):
    """Errors among the k best units, averaged over all orders of tied units."""
    last = sorted(confidence, reverse=True)[k - 1]
    above = [bool(e) for c, e in zip(confidence, error, strict=True) if c > last]
    tied = [bool(e) for c, e in zip(confidence, error, strict=True) if c == last]
    return sum(above) + sum(tied) * (k - len(above)) / len(tied)


def risks(confidence, error):
    return [expected_errors(confidence, error, k) / k for k in range(1, len(confidence) + 1)]


def points(confidence, error):
    """(threshold, coverage, risk) for every distinct score, falling."""
    rows = []
    for threshold in sorted(set(confidence), reverse=True):
        accepted = [bool(e) for c, e in zip(confidence, error, strict=True) if c >= threshold]
        rows.append((threshold, len(accepted) / len(confidence), sum(accepted) / len(accepted)))
    return rows


def aurc(confidence, error, rule='mean'):
    values = risks(confidence, error)
    if rule == 'mean':
        return sum(values) / len(values)
    return trapezoid([0, *values], np.linspace(0, 1, len(values) + 1))


def augrc(confidence, error):
    n = len(confidence)
    heights = [expected_errors(confidence, error, k) / n for k in range(1, n + 1)]
    return trapezoid([0, *heights], np.linspace(0, 1, n + 1))


def e_aurc(confidence, error, rule, optimum):
    if optimum == 'finite':
        best = aurc([0 if e else 1 for e in error], error, rule)
    else:
        r = sum(map(bool, error)) / len(error)
        best = r + (1 - r) * math.log(1 - r) if r < 1 else 1
    return aurc(confidence, error, rule) - best


def auroc(confidence, positive):
    wins = [
        1 if a > b else 0.5 if a == b else 0
        for a, p in zip(confidence, positive, strict=True)
        if p
        for b, q in zip(confidence, positive, strict=True)
        if not q
    ]
    return sum(wins) / len(wins) if wins else math.nan


def aupr(confidence, positive):
    precisions = []
    for c, p in zip(confidence, positive, strict=True):
        if p:
            called = [bool(q) for d, q in zip(confidence, positive, strict=True) if d >= c]
            precisions.append(sum(called) / len(called))
    return sum(precisions) / len(precisions) if precisions else math.nan


def coverage_at_risk(confidence, error, risk):
    return max((c for _, c, r in points(confidence, error) if r <= risk), default=0)


def risk_at_coverage(confidence, error, coverage):
    return next(r for _, c, r in points(confidence, error) if c >= coverage - 1e-12)


def fpr_at_tpr(confidence, positive, tpr):
    inside = [c for c, p in zip(confidence, positive, strict=True) if p]
    outside = [c for c, p in zip(confidence, positive, strict=True) if not p]
    if not inside or not outside:
        return math.nan
    for threshold in sorted(set(confidence), reverse=True):
        if sum(c >= threshold for c in inside) / len(inside) >= tpr - 1e-12:
            return sum(c >= threshold for c in outside) / len(outside)
    raise AssertionError('accepting everything has a TPR of 1')


def scod_points(confidence, error, ood, share, cost):
    """(threshold, mass, loss, ID coverage) for every distinct score, falling."""
    n_ood = sum(map(bool, ood))
    n_id = len(ood) - n_ood
    rows = []
    for threshold in sorted(set(confidence), reverse=True):
        mass = loss = inside = 0.0
        for c, e, o in zip(confidence, error, ood, strict=True):
            if c >= threshold:
                weight = share / n_ood if o else (1 - share) / n_id
                mass += weight
                loss += weight * (cost if o else bool(e))
                inside += not o
        rows.append((threshold, mass, loss, inside / n_id))
    return rows


def scod_aurc(confidence, error, ood, share, cost):
    """Units accepted one by one; tied ones all carry the mean mass and loss of their tie."""
    total = mass = loss = 0.0
    for threshold, mass_to, loss_to, _ in scod_points(confidence, error, ood, share, cost):
        tied = sum(c == threshold for c in confidence)
        step, added = (mass_to - mass) / tied, (loss_to - loss) / tied
        for _ in range(tied):
            mass += step
            loss += added
            total += step * loss / mass
    return total


def scod_augrc(confidence, error, ood, share, cost):
    rows = scod_points(confidence, error, ood, share, cost)
    return trapezoid([0, *(row[2] for row in rows)], [0, *(row[1] for row in rows)])


def trapezoid(height, width):
    return sum((height[i] + height[i - 1]) / 2 * (width[i] - width[i - 1]) for i in range(1, len(height)))


def cases():
    """Confidence and errors, by name."""
    rng = np.random.default_rng(0)
    inf = math.inf
    wild = [5.0, -1e-300, 1e300, 5e-324, -0.0, 0.0, -1e300, -5e-324, 2.5, 1e-200]
    return {
        'random': (rng.random(60), rng.random(60) < 0.3),
        'logits': (5 * rng.standard_normal(60), rng.random(60) < 0.3),
        'negative': (-rng.random(60), rng.random(60) < 0.6),
        'float32': (rng.standard_normal(60).astype(np.float32), rng.random(60) < 0.3),
        'tied': (rng.integers(0, 8, 90) / 8, rng.random(90) < 0.4),
        'one tie': (np.full(70, 0.5), rng.random(70) < 0.4),
        'long tie': (np.r_[rng.random(20), np.full(70, 0.5)], rng.random(90) < 0.4),
        'all right': (rng.random(20), np.zeros(20, bool)),
        'all wrong': (rng.random(20), np.ones(20, bool)),
        'one right': ([0.7], [0]),
        'one wrong': ([0.7], [1]),
        'non-finite': (np.where(rng.random(60) < 0.2, -inf, rng.random(60)), rng.random(60) < 0.3),
        'non-finite logits': (np.where(rng.random(60) < 0.2, -inf, 9 * rng.standard_normal(60)), rng.random(60) < 0.3),
        'nothing finite': (np.full(5, -inf), np.array([1, 0, 0, 1, 0])),
        'both infinities': ([inf, 1.0, -inf, 0.5, inf, -2.0], [0, 0, 1, 1, 1, 0]),
        'wild range': (np.array(wild), np.arange(10) % 3 == 0),
        'wild range, no negatives': (np.abs(wild), np.arange(10) % 3 == 0),
        'integers': (rng.integers(-3, 9, 40), rng.integers(0, 2, 40)),
    }
