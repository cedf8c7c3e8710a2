# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the headline says of systems, with intervals over images and over calibrations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from headline_systems import Decided
from numpy.typing import NDArray

from mmcascade.evaluation.curves.intervals.ranked import Resampling
from mmcascade.evaluation.curves.ranking.summaries import generalised_risk, largest_coverage

Figures = dict[str, float]
#: Of which the ensemble's gain is taken, and which way is better.
GAINS = {'accuracy': 1, 'coverage': 1, 'augrc': -1}
#: Differences of a figure between two systems.
DIFFERENCES = {
    'window_minus_threshold': ('coverage', 'window', 'threshold'),
    'window_minus_random': ('coverage', 'window', 'random'),
    'window_minus_last': ('coverage', 'window', 'last member'),
    'accuracy_threshold_minus_window': ('accuracy', 'threshold', 'window'),
    'certified_minus_window': ('deployed_coverage', 'window, certified', 'window'),
    'ensemble_gain_accuracy': ('accuracy', 'ensemble', 'first member'),
    'ensemble_gain_coverage': ('coverage', 'ensemble', 'first member'),
    'ensemble_gain_augrc': ('augrc', 'first member', 'ensemble'),
}


class Judge:
    """Figures of a system on its images, and on draws from them; percent, and multiply-adds."""

    def __init__(self, decided: Decided, risk: float) -> None:
        self.decided, self.risk = decided, risk
        self.ranking = Resampling(decided.confidence, decided.wrong)

    def __call__(self, times: NDArray[np.int64]) -> Figures:
        """With each image as often as ``times`` ``(N)`` says."""
        decided, ranked = self.decided, self.ranking.counted(times)
        n, accepted = times.sum(), times[decided.accepted].sum()
        errors = times[decided.accepted & decided.wrong].sum()
        return {
            'accuracy': 100 * (1 - times[decided.wrong].sum() / n),
            'coverage': 100 * largest_coverage(ranked, self.risk),
            'augrc': 100 * generalised_risk(ranked),
            'macs': times @ decided.macs / n,
            'deployed_coverage': 100 * accepted / n,
            'deployed_risk': 100 * errors / accepted if accepted else np.nan,
        }


def compared(figures: Mapping[str, Figures]) -> dict[str, Figures]:
    """Figures of all systems with what they are beside the first member and the ensemble, and differences."""
    first, ensemble = figures['first member'], figures['ensemble']
    gains = {name: sign * (ensemble[name] - first[name]) for name, sign in GAINS.items()}
    made = {
        system: {
            **own,
            **{f'gain_{name}': sign * (own[name] - first[name]) for name, sign in GAINS.items()},
            'times_first': own['macs'] / first['macs'],
            'times_last': own['macs'] / figures['last member']['macs'],
        }
        for system, own in figures.items()
    }
    for own in made.values():
        for name, gain in gains.items():
            own[f'kept_{name}'] = 100 * own[f'gain_{name}'] / gain if gain > 0 else np.nan
    differences = {
        name: figures[one][figure] - figures[other][figure]
        for name, (figure, one, other) in DIFFERENCES.items()
        if one in figures and other in figures
    }
    return {**made, 'differences': differences}


def reach(systems: Mapping[str, Decided], times: NDArray[np.int64]) -> Figures:
    """Of how many images the ensemble changes whether they are accepted, and how many of those are in the window.

    Each with its own calibrated threshold; percent. What lies outside of the window, no cascade with it can change.
    """
    first, ensemble, window = (systems[name] for name in ('first member', 'ensemble', 'window'))
    changed = first.accepted != ensemble.accepted
    inside = changed & (window.macs > first.macs)
    total = times[changed].sum()
    return {
        'acceptance_changed': 100 * total / times.sum(),
        'changed_inside_window': 100 * times[inside].sum() / total if total else np.nan,
    }


def all_figures(
    systems: Mapping[str, Decided], judges: Mapping[str, Judge], times: NDArray[np.int64]
) -> dict[str, Figures]:
    """Everything about systems with each image as often as ``times`` ``(N)`` says."""
    found = compared({name: judge(times) for name, judge in judges.items()})
    if 'window' in systems:
        found['differences'] |= reach(systems, times)
    return found


def over_images(systems: Mapping[str, Decided], risk: float, repeats: int, seed: int = 0) -> dict[str, Figures]:
    """Figures with the ends of their paired 95 % intervals: all systems see the same draws of images."""
    judges = {name: Judge(decided, risk) for name, decided in systems.items()}
    n = len(next(iter(systems.values())).wrong)
    rng = np.random.default_rng(seed)

    everybody = all_figures(systems, judges, np.ones(n, np.int64))
    draws = [all_figures(systems, judges, np.bincount(rng.integers(n, size=n), minlength=n)) for _ in range(repeats)]
    return with_ends(everybody, draws, 'images')


def once(systems: Mapping[str, Decided], risk: float) -> dict[str, Figures]:
    """Figures without intervals."""
    judges = {name: Judge(decided, risk) for name, decided in systems.items()}
    return all_figures(systems, judges, np.ones(len(systems['ensemble'].wrong), np.int64))


def over_draws(draws: Sequence[dict[str, Figures]]) -> dict[str, Figures]:
    """Means over calibrations, with the ends of what 95 % of them give.

    Of systems that could not be fitted in some draws, both are of the others.
    """
    names = sorted({name for draw in draws for name in draw})
    means = {name: _each(np.nanmean, [draw[name] for draw in draws if name in draw]) for name in names}
    return with_ends({name: {f'{k}_draws': v for k, v in own.items()} for name, own in means.items()}, draws, 'draws')


def with_ends(figures: Mapping[str, Figures], draws: Sequence[Mapping[str, Figures]], kind: str) -> dict[str, Figures]:
    """Figures beside the 2.5 and 97.5 % quantiles of draws."""
    made = {}
    for name, own in figures.items():
        there = [draw[name] for draw in draws if name in draw]
        low, high = (_each(partial(np.nanquantile, q=q), there) for q in (0.025, 0.975))
        made[name] = {
            **own,
            **{f'{key}_{kind}_low': value for key, value in low.items()},
            **{f'{key}_{kind}_high': value for key, value in high.items()},
        }
    return made


def _each(summary: Callable[[NDArray[np.float64]], float], draws: Sequence[Figures]) -> Figures:
    columns = {name: np.array([draw[name] for draw in draws]) for name in draws[0]} if draws else {}
    return {name: float(summary(values)) if np.isfinite(values).any() else np.nan for name, values in columns.items()}
