# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math

import pytest
import torch

from mmcascade.models.runtimes.graphs.agreement import TOLERANCES, Difference, difference, sample_images


def slow_difference(values, reference):
    """Probability, largest and label differences of logits (N, C), one number after the other."""
    n, classes = len(reference), len(reference[0])
    means = [sum(row[c] for row in reference) / n for c in range(classes)]
    spread = math.sqrt(sum((row[c] - means[c]) ** 2 for row in reference for c in range(classes)) / (n * classes))
    unit = spread + 1e-3 * sum(abs(x) for row in reference for x in row) / (n * classes)
    probability = largest = labels = 0.0
    for row, true in zip(values, reference, strict=True):
        total, true_total = sum(map(math.exp, row)), sum(map(math.exp, true))
        for x, y in zip(row, true, strict=True):
            probability = max(probability, abs(math.exp(x) / total - math.exp(y) / true_total))
            largest = max(largest, abs(x - y) / unit)
        labels += row.index(max(row)) != true.index(max(true))
    return probability, largest, labels / n


def test_difference_is_what_a_loop_finds():
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(6, 4, generator=generator)
    values = reference + 0.3 * torch.randn(6, 4, generator=generator)
    found = difference(values, reference, logits=True)
    assert (found.probability, found.largest, found.other_labels) == pytest.approx(
        slow_difference(values.tolist(), reference.tolist()), rel=1e-5
    )
    assert 0 < found.typical < found.largest


def test_the_same_values_are_no_difference():
    values = torch.randn(3, 5, 4, 4)
    assert difference(values, values, logits=True) == Difference(0, 0, 0, 0)


@pytest.mark.parametrize('logits', [True, False])
@pytest.mark.parametrize('precision', sorted(TOLERANCES))
def test_rows_that_were_mixed_up_are_no_rounding(precision, logits):
    """However little the images change of large values that are the same for all of them."""
    reference = 50 + 0.01 * torch.randn(6, 10, dtype=torch.double)
    if not logits:
        reference = reference / reference.sum(1, keepdim=True)
    found = difference(reference.roll(1, 0), reference, logits)
    assert not (TOLERANCES[precision].admits(found) and precision == 'float32')
    assert TOLERANCES['float32'].admits(difference(reference * (1 + 1e-7), reference, logits))


@pytest.mark.parametrize('precision', sorted(TOLERANCES))
def test_rows_of_ordinary_values_that_were_mixed_up_are_no_rounding_in_any_precision(precision):
    reference = torch.randn(6, 10)
    assert not TOLERANCES[precision].admits(difference(reference.roll(1, 0), reference, True))


def test_nan_is_never_admitted_and_counts_as_the_worst():
    broken = difference(torch.full((2, 3), math.nan), torch.randn(2, 3), True)
    worst = Difference.worst([Difference(0, 0, 0, 0), broken])
    assert math.isnan(worst.largest)
    assert not any(tolerance.admits(worst) for tolerance in TOLERANCES.values())


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r'\(2, 3\) where torch gives \(2, 4\)'):
        difference(torch.zeros(2, 3), torch.zeros(2, 4), True)


def test_sample_images_differ_and_use_the_range():
    images = sample_images(4, (3, 24, 40))
    assert images.shape == (4, 3, 24, 40) and images.dtype == torch.uint8
    assert images.max() > 200 and images.min() < 50
    assert len({float(image.float().std()) for image in images}) == 4
