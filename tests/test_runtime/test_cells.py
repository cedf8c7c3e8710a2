# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Cells in numpy are those of torch: grids, crops, confidences, and whole cascades of segmentors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.models.cells import crops as torch_crops
from mmcascade.models.cells import grid as torch_grid
from mmcascade.models.cells.crops import resize_bilinear, scaled
from mmcascade.models.export.policies import cells_json, policy_json
from mmcascade.registry import MODELS
from mmcascade.routing import CONFIDENCES, CascadeState, ScoreMap, StageOutput
from mmcascade.routing.confidences.cell_confidence import CellConfidence as TorchCellConfidence
from mmcascade.routing.confidences.image_confidence import image_confidences
from mmcascade.routing.confidences.pixel_reducers import FractionBelowReducer, QuantileReducer
from mmcascade.runtime.decision.cell_confidence import CellConfidence, image_confidence
from mmcascade.runtime.decision.confidence import carried_width, member_score
from mmcascade.runtime.decision.fusion import State
from mmcascade.runtime.decision.grid import Crops, Grid, enlarged
from mmcascade.runtime.decision.policies import read_policy
from mmcascade.runtime.decision.score_map import ScoreMap as NumpyScoreMap
from mmcascade.runtime.description.manifest import CellRules, Manifest
from mmcascade.runtime.description.stages import BundleStage
from mmcascade.runtime.fields import Fields
from mmcascade.runtime.running.cell_route import CellOutput, label
from tests.support.members.tiny_segmentors import image, sample, tiny

sides = st.integers(1, 70)


@given(image=st.tuples(sides, sides), cell=st.one_of(st.none(), st.tuples(sides, sides)), data=st.data())
def test_grids_and_crops_are_those_of_torch(image, cell, data):
    theirs, ours = torch_grid.Grid(image, cell), Grid(image, cell)
    assert len(theirs) == len(ours) and theirs.frame == ours.frame
    source = data.draw(st.tuples(sides, sides))
    margin = 0 if cell is None else data.draw(st.integers(0, min(cell)))
    crops = torch_crops.Crops(theirs, source, margin), Crops(ours, source, margin)
    assert crops[0].size == crops[1].size
    for index in range(len(ours)):
        for box, other in (
            (theirs.box(index), ours.box(index)),
            (crops[0].box(index), crops[1].box(index)),
        ):
            assert (box.top, box.left, box.bottom, box.right) == (other.top, other.left, other.bottom, other.right)


@settings(max_examples=40)
@given(
    image=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    source=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    scale=st.sampled_from([0.5, 1.0, 1.5]),
    align=st.booleans(),
    seed=st.integers(0, 99),
)
def test_scores_of_crops_land_on_their_cells(image, source, scale, align, seed):
    grid = torch_grid.Grid(image, (7, 9))
    theirs, ours = torch_crops.Crops(grid, source, 3, scale), Crops(Grid(image, (7, 9)), source, 3)
    generator = torch.Generator().manual_seed(seed)
    rows = np.arange(len(grid))
    scores = torch.randn(len(grid), 2, *theirs.scaled_size, generator=generator)
    for index in rows.tolist():
        (frame,) = theirs.frames(scores[index], index, rows[index : index + 1], align)
        expected = grid.inner_box(index).of(frame).numpy()
        np.testing.assert_allclose(ours.scores(scores[index].numpy(), index, align), expected, atol=1e-5)


@settings(max_examples=40)
@given(
    before=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    now=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    align=st.booleans(),
)
def test_maps_are_enlarged_as_torch_does(before, now, align):
    maps = torch.randn(1, 3, *before, generator=torch.Generator().manual_seed(0))
    expected = functional.interpolate(maps, now, mode='bilinear', align_corners=align)[0].numpy()
    np.testing.assert_allclose(enlarged(maps[0].numpy(), now, align), expected, atol=1e-5)


REDUCERS = {
    'mean': ('mean', {'reduce': 'mean'}),
    'quantile': (QuantileReducer(0.2), {'reduce': 'quantile', 'number': 0.2}),
    'fraction_below': (FractionBelowReducer(0.6), {'reduce': 'fraction_below', 'number': 0.6}),
}


@settings(max_examples=60)
@given(
    pixel=st.sampled_from(sorted(CONFIDENCES)),
    fusion=st.sampled_from(['prob', 'logit', 'replace']),
    reducer=st.sampled_from(sorted(REDUCERS)),
    t_unk=st.sampled_from([None, 0.0, 0.5, 0.9]),
    stride=st.integers(1, 4),
    seed=st.integers(0, 999),
)
def test_confidences_of_cells_are_those_of_torch(pixel, fusion, reducer, t_unk, stride, seed):
    made, data = REDUCERS[reducer]
    theirs = TorchCellConfidence(pixel, made, t_unk, 'exit', stride)
    ours = CellConfidence.read(pixel, Fields({**data, 't_unk': t_unk, 'empty': 'exit', 'stride': stride}, 'cells'))
    generator = torch.Generator().manual_seed(seed)
    outputs = [2 * torch.randn(1, 3, 6, 5, generator=generator) for _ in range(2)]
    outputs[0][0, 0, 2, 3] = torch.nan if seed % 3 == 0 else 1.0  # one bad pixel spoils a member's cell
    width = carried_width(pixel, fusion, 3)
    state = CascadeState.start(StageOutput(logits=outputs[0]), fusion, 1.5, theirs.member_score(fusion))
    state = state.add(StageOutput(logits=outputs[1]), 1.0, theirs.member_score(fusion))
    mine = State.empty(fusion, 30, 3, width)
    for maps, temperature in zip(outputs, (1.5, 1.0), strict=True):
        output = CellOutput(maps[0].numpy().reshape(3, -1).T, 'logits', temperature)
        mine = mine.add(output, None if width is None else member_score(pixel, output, fusion))
    np.testing.assert_allclose(ours(mine, (6, 5)).value, float(theirs(state)), rtol=1e-5, atol=1e-5)


SETTINGS = {
    'plain': dict(kinds=('fcn', 'wide'), model=dict(grid=dict(cell=32))),
    'margin': dict(kinds=('fcn', 'wide', 'segformer'), model=dict(grid=dict(cell=24, margin=6), fusion='logit')),
    'resized': dict(kinds=('fcn', 'corners'), model=dict(grid=dict(cell=(20, 30), margin=2)), ori=(80, 100)),
    'scales': dict(
        kinds=('fcn', 'wide', 'corners'),
        stages=(dict(scale=0.5), dict(scale=1.5), dict(on='image')),
        model=dict(grid=dict(cell=32), fusion='replace'),
    ),
    'whole': dict(kinds=('fcn', 'wide'), model=dict(grid=dict(cell=None))),
    'energy': dict(kinds=('fcn', 'wide'), model=dict(grid=dict(cell=32), confidence='energy'), bounds=(None, 9.0)),
    'quantile': dict(
        kinds=('slide', 'divisor'),
        model=dict(
            grid=dict(cell=32),
            confidence=dict(
                pixel='prob_gap',
                reduce=dict(type='mmcascade.QuantileReducer', q=0.1),
                t_unk=0.4,
                empty='exit',
                stride=4,
            ),
        ),
        bounds=(0.0, 0.2),
    ),
}


def cascade(kinds, model, bounds=(None, 0.75), stages=None):
    stages = stages or [{} for _ in kinds]
    return MODELS.build(
        dict(
            type='mmcascade.CascadeSegmentor',
            members={kind: dict(model=tiny(kind, seed)) for seed, kind in enumerate(kinds)},
            stages=[dict(member=kind, **stage) for kind, stage in zip(kinds, stages, strict=True)],
            policy=dict(type='mmcascade.WindowPolicy', windows=[bounds] * (len(kinds) - 1)),
            seg_logits=True,
            **model,
        )
    )


def in_numpy(model: CascadeSegmentor) -> tuple[Manifest, list]:
    """The same cascade in numpy, whose members torch runs."""
    stages = tuple(
        BundleStage(
            *(stage.member, '', '', 0, 'logits', stage.temperature, 0.0, None, stage.on, stage.align_corners),
        )
        for stage in model.stages
    )

    def run_of(stage):
        def run(images):
            small = resize_bilinear(torch.from_numpy(images), scaled(images.shape[2:], stage.scale))
            with torch.no_grad():
                return stage.network(small).values.numpy(), float(stage.macs_of(small))

        return run

    cells = CellConfidence.read(model.confidence.pixel.name, Fields(cells_json(model.confidence), 'cells'))
    maps = model.router.maps or [None] * len(stages)
    maps = tuple(x if x is None else NumpyScoreMap.read(Fields(x.to_json(), 'map')) for x in maps)
    manifest = Manifest(
        'segmentation',
        model.out_channels,
        None,
        stages,
        (),
        model.fusion,
        model.confidence.pixel.name,
        read_policy(Fields(policy_json(model.router.policy), 'policy'), len(stages) - 1),
        maps,
        None,
        None,
        None,
        CellRules(model.cell, model.margin, cells),
    )
    return manifest, [run_of(stage) for stage in model.stages]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 99), st.one_of(st.just(np.nan), st.just(-np.inf), st.floats(-1, 1, width=32))),
        min_size=1,
        max_size=9,
    )
)
def test_the_confidence_of_an_image_is_that_of_torch_to_the_bit(cells):
    areas, scores = np.array([a for a, _ in cells]), np.array([s for _, s in cells], np.float64)
    (expected,) = image_confidences(scores, areas, np.zeros(len(cells), np.int64), 1)
    assert image_confidence(scores, areas) == expected


@pytest.mark.parametrize('name', SETTINGS)
def test_an_image_is_labelled_as_by_the_cascade(name):
    options = dict(SETTINGS[name])
    original = options.pop('ori', (64, 96))
    model = cascade(**options)
    model.router.maps = [ScoreMap([0.2, 0.9], [0.1, 0.8])] + [None] * (len(model.stages) - 1)
    manifest, runs = in_numpy(model)
    seen = set()
    for seed in range(3):
        pixels = image(seed=seed)
        (expected,) = model.test_step(dict(inputs=[pixels], data_samples=[sample(ori=original, sample_idx=seed)]))
        found = label(manifest, runs, pixels.numpy(), original, seed, with_probs=True)
        assert found.exit_stage.tolist() == expected.cells.exit_stages.tolist()
        seen |= set(found.exit_stage.tolist())
        np.testing.assert_allclose(found.confidence, expected.cells.confidence.numpy(), atol=1e-4)
        areas = model.tile(pixels, sample(ori=original)).grid.areas
        assert image_confidence(found.confidence, areas) == pytest.approx(expected.confidence, abs=1e-4)
        np.testing.assert_allclose(found.macs, expected.cells.macs.numpy())
        np.testing.assert_allclose(found.probs, expected.seg_logits.data.exp().numpy(), atol=1e-5)
        assert (found.labels != expected.pred_sem_seg.data[0].numpy()).mean() < 1e-3
    assert len(seen) > 1 or name in ('whole', 'energy')


def test_cells_whose_members_give_nothing_finite():
    model = cascade(('fcn', 'wide'), dict(grid=dict(cell=32)))
    manifest, runs = in_numpy(model)

    def broken(images):
        values, macs = runs[0](images)
        values = values.copy()
        values[:, :, :32, :32] = np.nan
        return values, macs

    found = label(manifest, [broken, runs[1]], image().numpy(), (64, 96), with_probs=True)
    assert found.exit_stage[0] == 1 and np.isfinite(found.confidence[0]) and np.isfinite(found.probs).all()
    nothing = label(manifest, [broken, lambda x: (np.full((len(x), 5, 32, 32), np.nan, np.float32), 1.0)], *(
        image().numpy(), (64, 96)
    ), with_probs=True)  # fmt: skip
    assert nothing.confidence[0] == -np.inf and np.allclose(nothing.probs[:, :32, :32], 0.2)
