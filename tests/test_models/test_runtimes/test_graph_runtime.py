# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Members as graphs: the same values as in torch, or a refusal."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from torch import nn

from mmcascade.models.runtimes.execution import Execution
from mmcascade.models.runtimes.graph_runtime import MAX_SHAPES, GraphRuntime
from mmcascade.models.runtimes.graphs import checked_graphs
from mmcascade.models.runtimes.graphs.agreement import sample_images
from mmcascade.models.runtimes.graphs.checked_graphs import GraphError
from mmcascade.models.runtimes.networks.class_outputs import class_output
from mmcascade.models.runtimes.networks.classifier_network import ClassifierNetwork
from mmcascade.models.runtimes.networks.features import feature_output
from mmcascade.models.runtimes.networks.segmentor_network import SegmentorNetwork
from tests.support.members import tiny_models, tiny_segmentors

pytestmark = pytest.mark.slow

pytest.importorskip('onnxscript')
ENGINES = ['onnxruntime', 'openvino']


class Pooled(nn.Module):
    """The smallest network that tells images apart; it takes images of any size, and no normalisation."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x):
        return self.fc(self.conv(x.float() / 255).relu().mean((2, 3)))


class Mixing(Pooled):
    """Its scores depend on how many rows there are, as in a graph with a baked batch."""

    def forward(self, x):
        scores = super().forward(x)
        return scores - 0.5 * scores.mean(0, keepdim=True)


class Unknown(Pooled):
    """Uses an operator that no version of ONNX has."""

    def forward(self, x):
        values = torch.linalg.eigvals(x.float().mean(1)[:, :5, :5])
        return super().forward(x) + values.real


def swin():
    """Windowed attention: torch.onnx writes a graph that is right only for the number of rows it was traced with."""
    from mmpretrain.registry import MODELS

    backbone = dict(
        type='SwinTransformer',
        arch=dict(embed_dims=16, depths=[2], num_heads=[1]),
        img_size=16,
        patch_size=2,
        window_size=4,
        out_indices=(0,),
    )
    torch.manual_seed(0)
    module = MODELS.build(ConfigDict(tiny_models._classifier(backbone, 16))).eval()
    nn.init.normal_(module.head.fc.weight)
    return module


def runtime(module, engine='onnxruntime', **options):
    network = (SegmentorNetwork if hasattr(module, 'decode_head') else ClassifierNetwork)(module)
    return GraphRuntime(network, Execution(runtime=engine, **options), 'small')


def assert_agrees(run, images, full=None, tolerance=1e-4):
    with torch.no_grad():
        got, true = run(images, full), run.network(images)
    assert (got.logits is None) == (true.logits is None)
    values, reference = ((x.values if x.logits is None else x.logits.softmax(1)) for x in (got, true))
    assert values.dtype == torch.float32 and values.shape == reference.shape
    assert float((values - reference).abs().max()) <= tolerance


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('kind', ['resnet', 'vit'])
def test_classifiers_agree_with_torch_for_any_number_of_raw_images(engine, kind):
    run = runtime(tiny_models.tiny(kind), engine)
    for rows in (1, 4, 7):
        assert_agrees(run, tiny_models.images(rows, seed=rows))


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('kind', ['padded', 'segformer'])
def test_segmentors_agree_with_torch_on_whole_images_and_without_their_padding(engine, kind):
    run = runtime(tiny_segmentors.tiny(kind), engine)
    for rows in (1, 3):
        assert_agrees(run, torch.stack([tiny_segmentors.image(seed=rows + i) for i in range(rows)]))


@pytest.mark.parametrize('engine', ENGINES)
def test_each_shape_of_images_has_a_graph_of_its_own(engine):
    run = runtime(Pooled(), engine)
    for size in (8, 12, 8):
        assert_agrees(run, sample_images(3, (3, size, size)))
    assert len(run._sessions) == 2
    run._sessions |= {('another', i): None for i in range(MAX_SHAPES - 2)}
    with pytest.raises(GraphError, match=f'more than {MAX_SHAPES} shapes.*leave join= out'):
        run(sample_images(3, (3, 9, 9)))


def test_float_images_are_another_graph_than_uint8():
    run = runtime(Pooled())
    images = sample_images(3, (3, 8, 8))
    assert_agrees(run, images)
    assert_agrees(run, images.float() + 0.5)


@pytest.mark.parametrize('full', [None, 3])
def test_a_graph_that_holds_at_a_fixed_number_of_rows_runs_at_that(full, monkeypatch):
    said = []
    monkeypatch.setattr(checked_graphs, '_log', said.append)
    run = runtime(swin())
    for rows in (1, 2, 5):
        assert_agrees(run, tiny_models.images(rows, size=16, seed=rows), full)
    assert any('only at a fixed number of rows' in text for text in said) or full == 3


@pytest.mark.parametrize('engine', ENGINES)
def test_a_graph_that_computes_something_else_is_refused_with_the_way_out(engine):
    """The reference is of single rows here, so that the graph is off at every number but one."""

    class Single(ClassifierNetwork):
        def __call__(self, images):
            if isinstance(images, torch._subclasses.FakeTensor) or torch.compiler.is_exporting():
                return super().__call__(images)
            outputs = [super(Single, self).__call__(images[i : i + 1]).logits + i % 2 for i in range(len(images))]
            return class_output(nn.Identity(), torch.cat(outputs))

    run = GraphRuntime(Single(Mixing()), Execution(runtime=engine), 'small')
    run.network.values = None
    with pytest.raises(GraphError, match=r"member 'small'.*computes something else.*runtime='torch'"):
        run(sample_images(4, (3, 8, 8)))


def test_an_operator_that_does_not_export_is_named_with_the_member_and_help():
    run = runtime(Unknown())
    with pytest.raises(GraphError, match=r"member 'small'.*linalg_eig.*runtime='torch'"):
        run.settle(torch.empty(1, 3, 8, 8, dtype=torch.uint8))


def test_a_second_start_writes_no_graph_and_compares_none(monkeypatch):
    images = sample_images(3, (3, 10, 10))
    assert_agrees(runtime(Pooled()), images)

    def never(*args, **kwargs):
        raise AssertionError('written again')

    monkeypatch.setattr(checked_graphs, 'export_onnx', never)
    monkeypatch.setattr(checked_graphs.CheckedGraphs, '_compared', never)
    assert_agrees(runtime(Pooled()), images)


def test_a_damaged_graph_is_written_again(kept_graphs):
    images = sample_images(3, (3, 11, 11))
    run = runtime(Pooled())
    run(images)
    key = run._subject(images).key(None)
    path = kept_graphs / 'mmcascade' / 'graphs' / f'{key}.onnx'
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert_agrees(runtime(Pooled()), images)
    assert len(path.read_bytes()) == len(whole)


def test_a_graph_depends_on_weights_shape_and_type():
    run, other = runtime(Pooled()), runtime(Pooled())
    with torch.no_grad():
        other.network.module.fc.bias[0] += 1
    images = sample_images(1, (3, 8, 8))
    keys = {
        run._subject(images).key(None),
        run._subject(images).key(2),
        run._subject(images[..., :7]).key(None),
        run._subject(images.float()).key(None),
        other._subject(images).key(None),
    }
    assert len(keys) == 5
    assert runtime(Pooled())._subject(images).key(None) in keys


def test_members_that_pad_in_other_ways_have_graphs_of_their_own():
    images = tiny_segmentors.image(50, 70)[None]
    plain, padding = (runtime(tiny_segmentors.tiny(kind))._subject(images) for kind in ('fcn', 'divisor'))
    with torch.no_grad():
        assert not torch.equal(plain.reference(images), padding.reference(images))
    assert plain.key(None) != padding.key(None)


@pytest.mark.parametrize('assign', [False, True])
def test_weights_that_are_loaded_later_are_the_ones_that_run(assign):
    run, images = runtime(Pooled()), sample_images(3, (3, 8, 8))
    run.settle(images)
    weights = {name: 3 * tensor for name, tensor in run.network.module.state_dict().items()}
    run.network.module.load_state_dict(weights, assign=assign)
    run.settle(images)
    assert_agrees(run, images)


@pytest.mark.parametrize('engine', ENGINES)
def test_a_copy_runs_by_itself(engine):
    run, images = runtime(Pooled(), engine), sample_images(3, (3, 8, 8))
    run(images)
    for other in (copy.deepcopy(run), pickle.loads(pickle.dumps(run))):
        assert_agrees(other, images)


def test_a_first_batch_that_is_too_far_from_torch_is_refused():
    run, images = runtime(Pooled()), sample_images(3, (3, 8, 8))
    run.settle(images)
    session = run._sessions[(3, 8, 8, torch.uint8)]
    run._sessions[(3, 8, 8, torch.uint8)] = lambda rows, full: session(rows, full) + np.float32([0, 0, 0, 0, 0.01])
    with pytest.raises(GraphError, match='on a first batch'):
        run(images)


@pytest.mark.parametrize('option', [dict(amp='bfloat16'), dict(compile=True), dict(channels_last=True)])
@pytest.mark.parametrize('engine', ENGINES)
def test_options_of_torch_are_refused(engine, option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}= is an option of torch, and member 'small'"):
        runtime(Pooled(), engine, **option)


def test_mixed_precision_around_it_is_refused():
    run = runtime(Pooled())
    with torch.autocast('cpu'), pytest.raises(GraphError, match='leave --amp out'):
        run(sample_images(2, (3, 8, 8)))


def test_features_are_refused():
    network = ClassifierNetwork(tiny_models.tiny('resnet'), feature_output)
    with pytest.raises(ValueError, match='reads features'):
        GraphRuntime(network, Execution(runtime='onnxruntime'), 'small')


def test_static_graphs_of_openvino_give_the_same():
    run = runtime(Pooled(), dict(type='openvino', static=True))
    for rows in (1, 3, 4, 9):
        assert_agrees(run, sample_images(rows, (3, 8, 8)), 4)


def test_bfloat16_is_near():
    run = runtime(tiny_models.tiny('resnet'), 'openvino:bfloat16')
    assert_agrees(run, tiny_models.images(6), tolerance=0.1)


@pytest.mark.parametrize('engine', ENGINES)
def test_int8_takes_its_ranges_from_images(engine, tmp_path):
    pytest.importorskip('onnxruntime')
    images = tiny_models.images(32)
    np.save(tmp_path / 'images.npy', images.numpy())
    options = dict(type=engine, precision='int8', images=str(tmp_path / 'images.npy'))
    run = runtime(tiny_models.tiny('resnet'), options)
    assert_agrees(run, images, tolerance=0.25)
    exact = runtime(tiny_models.tiny('resnet'), engine)
    assert float((run(images).logits - exact(images).logits).abs().max()) > 1e-3  # it is 8-bit arithmetic indeed


def test_exporters_say_nothing(capfd):
    runtime(Pooled()).settle(torch.empty(1, 3, 13, 13, dtype=torch.uint8))
    out = ''.join(capfd.readouterr())
    assert 'torch.onnx' not in out and 'Warning' not in out
