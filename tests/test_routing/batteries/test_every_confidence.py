# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What every confidence function that has a name has to do. A new one adds an entry to REFERENCES.

Confidences with options (CONFIDENCE_TYPES) read cells or features, and have files of their own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special

from mmcascade.routing import CONFIDENCE_TYPES, CONFIDENCES, FUSIONS, CascadeState, StageOutput, build_confidence

Vector = NDArray[np.float64]
FLOOR = float(np.log(np.finfo(np.float32).tiny))
LARGEST = float(np.finfo(np.float32).max)


def gap(values: Vector) -> float:
    first, second = sorted(values, reverse=True)[:2]
    return float(first - second)


def of_fused(function: Callable[[Vector], float]) -> Callable[[list[Vector], str], float]:
    """A function of the fused probabilities of one unit."""
    return lambda members, fusion: function(fused(members, fusion))


def of_members(function: Callable[[Vector], float]) -> Callable[[list[Vector], str], float]:
    """A function of each member's logits, averaged; of the averaged logits in 'logit' fusion."""

    def score(members: list[Vector], fusion: str) -> float:
        if fusion == 'logit':
            return function(np.mean(members, axis=0))
        return function(members[-1]) if fusion == 'replace' else float(np.mean([function(z) for z in members]))

    return score


def fused(members: list[Vector], fusion: str) -> Vector:
    if fusion == 'logit':
        return special.softmax(np.mean(members, axis=0))
    return (
        special.softmax(members[-1]) if fusion == 'replace' else np.mean([special.softmax(z) for z in members], axis=0)
    )


def logit_gap(members: list[Vector], fusion: str) -> float:
    if fusion == 'logit':
        return gap(np.mean(members, axis=0))
    return gap(np.maximum(np.log(fused(members, fusion)), FLOOR))


def that_count(members: list[Vector], fusion: str) -> list[Vector]:
    return [special.softmax(z) for z in (members[-1:] if fusion == 'replace' else members)]


def neg_mutual_information(members: list[Vector], fusion: str) -> float:
    probs = that_count(members, fusion)
    return float(np.mean([special.entr(p).sum() for p in probs]) - special.entr(np.mean(probs, axis=0)).sum())


def shares(members: list[Vector], fusion: str) -> list[float]:
    """Per class, the share of members that find it the most probable one."""
    votes = [int(p.argmax()) for p in that_count(members, fusion)]
    return [votes.count(c) / len(votes) for c in range(len(members[0]))]


# The slow rule for one unit, from its members' logits in float64.
REFERENCES: dict[str, Callable[[list[Vector], str], float]] = {
    'max_prob': of_fused(lambda p: float(p.max())),
    'prob_gap': of_fused(gap),
    'neg_entropy': of_fused(lambda p: float(sum(x * np.log(x) for x in p if x > 0))),
    'logit_gap': logit_gap,
    'energy': of_members(lambda z: float(special.logsumexp(z))),
    'max_logit': of_members(lambda z: float(z.max())),
    'neg_mutual_information': neg_mutual_information,
    'neg_variation_ratio': lambda members, fusion: max(shares(members, fusion)) - 1,
    'agreement': lambda members, fusion: shares(members, fusion)[int(fused(members, fusion).argmax())],
}
MEMBERS = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(2, 6), st.integers(0, 10**6))


def logits_of(shape: tuple[int, int, int, int]) -> list[torch.Tensor]:
    """Of every member, ``(units, classes)``."""
    members, units, classes, seed = shape
    generator = torch.Generator().manual_seed(seed)
    return [4 * torch.randn(units, classes, generator=generator, dtype=torch.float64) for _ in range(members)]


def run(name: str, members: list[torch.Tensor], fusion: str) -> torch.Tensor:
    confidence = CONFIDENCES[name]
    score = confidence.member_score(fusion)
    state = CascadeState.start(StageOutput(logits=members[0]), fusion, 1.0, score)
    for logits in members[1:]:
        state = state.add(StageOutput(logits=logits), 1.0, score)
    return confidence(state)


def test_every_registered_confidence_is_here():
    import mmcascade.calibration.detectors  # noqa: F401  registers KNNConfidence

    assert REFERENCES.keys() == CONFIDENCES.keys()
    assert set(CONFIDENCE_TYPES) == {'CellConfidence', 'KNNConfidence'}


@pytest.mark.parametrize('fusion', FUSIONS)
@pytest.mark.parametrize('name', REFERENCES)
class TestConfidence:
    @settings(max_examples=30)
    @given(shape=MEMBERS)
    def test_is_what_the_slow_rule_gives(self, name, fusion, shape):
        members = logits_of(shape)
        found = run(name, members, fusion)
        rows = [[z[unit].numpy() for z in members] for unit in range(shape[1])]
        expected = [REFERENCES[name](row, fusion) for row in rows]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)

    @settings(max_examples=30)
    @given(shape=MEMBERS, data=st.data())
    def test_a_unit_does_not_see_its_neighbours_nor_the_order_of_classes(self, name, fusion, shape, data):
        members = logits_of(shape)
        whole = run(name, members, fusion)
        unit = data.draw(st.integers(0, shape[1] - 1))
        torch.testing.assert_close(run(name, [z[unit : unit + 1] for z in members], fusion)[0], whole[unit])
        classes = data.draw(st.permutations(range(shape[2])))
        torch.testing.assert_close(run(name, [z[:, classes] for z in members], fusion), whole)

    @settings(max_examples=30)
    @given(shape=MEMBERS, data=st.data())
    def test_the_order_of_members_matters_only_where_the_last_replaces(self, name, fusion, shape, data):
        members = logits_of(shape)
        order = data.draw(st.permutations(range(shape[0])))
        mixed = [members[k] for k in order]
        kept = [members[-1]] if fusion == 'replace' else members
        torch.testing.assert_close(
            run(name, mixed if fusion != 'replace' else members, fusion), run(name, kept, fusion)
        )

    @pytest.mark.parametrize('count', [1, 4, 8])
    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_is_finite_for_all_finite_logits(self, name, fusion, count, dtype):
        largest = min(torch.finfo(dtype).max, LARGEST)
        rows = torch.tensor(
            [[largest, -largest, 0], [largest] * 3, [-largest] * 3, [0.0] * 3, [1e-3, 0, 0]], dtype=torch.float64
        )
        found = run(name, [rows.to(dtype)] * count, fusion)
        assert found.dtype in (torch.float32, torch.float64)
        assert found.isfinite().all()

    def test_output_that_is_not_finite_counts_for_nothing(self, name, fusion):
        good, other = logits_of((2, 3, 4, 0))
        broken = other.clone()
        broken[0, 1], broken[1, 2], broken[2] = torch.nan, torch.inf, -torch.inf
        assert torch.equal(run(name, [good, broken], fusion), run(name, [good], fusion))
        assert torch.equal(run(name, [broken, good], fusion), run(name, [good], fusion))
        assert run(name, [broken, broken], fusion).tolist() == [-np.inf] * 3

    def test_probabilities_do_where_logits_are_not_needed(self, name, fusion):
        (logits,) = logits_of((1, 5, 4, 1))
        confidence = CONFIDENCES[name]
        output = StageOutput(probabilities=logits.softmax(1))
        if confidence.needs_logits:
            if fusion != 'logit':
                with pytest.raises(ValueError, match='needs logits, but this stage gives probabilities'):
                    CascadeState.start(output, fusion, 1.0, confidence.member_score(fusion))
            return
        found = confidence(CascadeState.start(output, fusion, 1.0, confidence.member_score(fusion)))
        torch.testing.assert_close(found, run(name, [logits], fusion), rtol=1e-6, atol=1e-9)

    def test_is_found_by_its_name(self, name, fusion):
        assert build_confidence(name) is CONFIDENCES[name]
        assert CONFIDENCES[name].name == name
