# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import math
import sys

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement

from mmcascade.registry import METRICS


def make_sample(macs, exit_stage, num_stages=3, **fields):
    sample = BaseDataElement(metainfo=dict(img_path='x.jpg', num_stages=num_stages))
    fields = dict(macs=macs, exit_stage=exit_stage, finite_stages=exit_stage + 1) | fields
    for name, value in fields.items():
        sample.set_field(value, name)
    return sample


def evaluate(samples):
    evaluator = Evaluator(dict(type='mmcascade.CascadeCost'))
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


def test_cost_and_reach():
    samples = [make_sample(1e9, 0), make_sample(3e9, 1), make_sample(3e9, 1), make_sample(7e9, 2)]
    assert evaluate(samples) == pytest.approx(
        {'cost/macs': 3.5, 'cost/reached@stage1': 75, 'cost/reached@stage2': 25, 'cost/nonfinite': 0}
    )


def test_a_stage_that_nobody_reached_is_printed():
    values = evaluate([make_sample(1e9, 0), make_sample(1e9, 0)])
    assert values['cost/reached@stage1'] == values['cost/reached@stage2'] == 0


def test_samples_without_the_optional_fields():
    samples = [dict(macs=1e9, exit_stage=0), dict(macs=2e9, exit_stage=1, confidence=-math.inf)]
    assert evaluate(samples) == pytest.approx({'cost/macs': 1.5, 'cost/reached@stage1': 50, 'cost/nonfinite': 1})


def test_nonfinite_is_a_number_of_units():
    samples = [make_sample(1e9, 2, finite_stages=n, confidence=-math.inf) for n in (0, 2, 0, 3)]
    assert evaluate(samples)['cost/nonfinite'] == 2


def test_data_sets_apart():
    samples = [
        make_sample(1e9, 0),
        make_sample(3e9, 1),
        make_sample(6e9, 2, ood=True, dataset='digits'),
        make_sample(8e9, 2, ood=True),
    ]
    values = evaluate(samples)
    assert values['cost/macs'] == pytest.approx(4.5)
    assert values['cost/id/macs'] == pytest.approx(2)
    assert values['cost/digits/macs'] == pytest.approx(6)
    assert values['cost/ood/macs'] == pytest.approx(8)


def test_number_types_do_not_matter():
    plain = evaluate([make_sample(1e9, 0), make_sample(3e9, 1)])
    tensors = [
        make_sample(torch.tensor(1e9), torch.tensor([0]), finite_stages=torch.tensor(1)),
        make_sample(torch.tensor([3e9]), torch.tensor(1), finite_stages=torch.tensor([2])),
    ]
    assert evaluate(tensors) == pytest.approx(plain)


def test_one_small_result_per_sample():
    metric = METRICS.build(dict(type='mmcascade.CascadeCost'))
    metric.process(None, [make_sample(1e9 + i, i % 3, dataset=''.join(['cif', 'ar'])).to_dict() for i in range(9)])
    assert len(metric.results) == 9
    assert len({id(result[4]) for result in metric.results}) == 1  # one string for all
    for result in metric.results:
        macs = result[0]
        assert sys.getsizeof(result) + sys.getsizeof(macs) + 8 <= 160  # the rest is shared
        assert all(type(value) in (int, bool, str) for value in result[1:5]) and result[5] == ()


@pytest.mark.parametrize('field', ['macs', 'exit_stage'])
def test_ordinary_classifiers_are_refused(field):
    sample = make_sample(1e9, 0)
    delattr(sample, field)
    with pytest.raises(ValueError, match=rf"x\.jpg has no '{field}'; .*test a cascade"):
        evaluate([sample])


def test_no_sample_is_an_error():
    with pytest.raises(ValueError, match='CascadeCost got no sample'):
        evaluate([])


def grid_sample(macs, reached, nonfinite_cells=0, **fields):
    return (
        dict(
            img_path='x.png',
            macs=macs,
            reached=reached,
            nonfinite_cells=nonfinite_cells,
            num_stages=len(reached),
            mean_exit_stage=sum(reached) - 1,
        )
        | fields
    )


def test_grids_reach_stages_by_area():
    samples = [
        grid_sample(1e9, [1.0, 0.25, 0.125]),
        grid_sample(3e9, [1.0, 0.0, 0.0], 3),
        grid_sample(2e9, [1.0, 0.5, 0.0], nonfinite_cells=1),
    ]
    assert evaluate(samples) == pytest.approx(
        {'cost/macs': 2, 'cost/reached@stage1': 25, 'cost/reached@stage2': 12.5 / 3, 'cost/nonfinite': 4}
    )


def test_grids_of_tensors_and_without_the_optional_field():
    samples = [grid_sample(torch.tensor(1e9), torch.tensor([1.0, 0.25])), grid_sample(3e9, [1.0, 0.75])]
    del samples[0]['nonfinite_cells']
    assert evaluate(samples) == pytest.approx({'cost/macs': 2, 'cost/reached@stage1': 50, 'cost/nonfinite': 0})


def test_grids_of_several_data_sets():
    values = evaluate([grid_sample(1e9, [1.0, 0.2]), grid_sample(3e9, [1.0, 0.4], dataset='fog')])
    assert (values['cost/id/macs'], values['cost/fog/macs']) == (1, 3)


def test_one_small_result_per_grid():
    metric = METRICS.build(dict(type='mmcascade.CascadeCost'))
    metric.process(None, [grid_sample(1e9, [1.0, 0.5, 0.25])])
    (result,) = metric.results
    assert sys.getsizeof(result) + sum(map(sys.getsizeof, (result[0], result[1], *result[1]))) <= 300


def test_a_stage_is_counted_that_gave_some_units_nothing_finite():
    samples = [
        make_sample(1e9, 2, finite_stages=2, missed=[0, 1, 0]),
        make_sample(1e9, 1, finite_stages=1, missed=[1, 0, 0]),
        make_sample(1e9, 1, finite_stages=1, missed=[0, 1, 0]),
        make_sample(1e9, 2),
    ]
    values = evaluate(samples)
    assert values['cost/nonfinite@stage0'] == 1 and values['cost/nonfinite@stage1'] == 2
    assert 'cost/nonfinite@stage2' not in values and values['cost/nonfinite'] == 0


def test_a_stage_that_never_gave_anything_finite_is_warned_of_once():
    samples = [make_sample(1e9, 1, missed=[0, 1, 0]), make_sample(1e9, 0), make_sample(1e9, 1, missed=[0, 1, 0])]
    with pytest.warns(UserWarning, match='stage 1 never gave a finite output, for none of the 2 units') as told:
        assert evaluate(samples)['cost/nonfinite@stage1'] == 2
    assert len(told) == 1


def test_cells_are_counted_by_stage():
    def grid(exits, missed):
        shares = [sum(e >= k for e in exits) / len(exits) for k in range(2)]
        return grid_sample(1e9, shares, missed=missed, cells=dict(exit_stages=torch.tensor(exits)))

    assert evaluate([grid([0, 1, 1], [0, 2]), grid([0, 1, 1], [1, 1])])['cost/nonfinite@stage1'] == 3
    with pytest.warns(UserWarning, match='stage 1 never gave a finite output, for none of the 4 units'):
        values = evaluate([grid([0, 1, 1], [0, 2]), grid([0, 1, 1], [1, 2]), grid_sample(1e9, [1.0, 0.0])])
    assert values['cost/nonfinite@stage1'] == 4 and values['cost/nonfinite@stage0'] == 1
