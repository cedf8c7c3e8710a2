# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The published JSON Schema and what the runtime reads are one format."""

from __future__ import annotations

import copy
import json
import random
from importlib.resources import files

import jsonschema
import pytest

from mmcascade.runtime import BundleError
from mmcascade.runtime.description.manifest import Manifest
from mmcascade.runtime.fields import Fields
from tests.support.bundles import manifest

SCHEMA = json.loads(files('mmcascade.runtime').joinpath('cascade.schema.json').read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
FILTER = dict(library='opencv', method='bilinear')
STEPS = [
    dict(op='resize', height=3, width=4, **FILTER),
    dict(op='resize_edge', edge='short', size=5, **FILTER),
    dict(op='resize_within', long=9, short=4, **FILTER),
    dict(op='resize_ratio', height=3, width=4, fit='inside', **FILTER),
    dict(op='center_crop', height=3, width=4, fill=[0, 1, 2]),
    dict(op='crop_resize', size=5, padding=2, **FILTER),
    dict(op='flip', direction='vertical'),
]
MAP = dict(scores=[0.1, 0.5], values=[0.2, 0.7])


def classifier():
    view = dict(channels='rgb', steps=STEPS, size=[5, 5])
    expected = dict(units=9, reached=[0.5], accepted=None)
    data = manifest(2, 3, maps=[MAP, None], views=[view], expected=expected, classes=['a', 'b', 'c'])
    for stage in data['stages']:
        stage.update(sha256='0' * 64, batch=8)
    return data


def segmentor():
    graphs = [dict(graph='a.onnx', sha256='0' * 64, size=[4, 5], seen=[8, 10], macs=1.0, batch=1)]
    stage = dict(member='a', view=0, output='logits', align_corners=True, graphs=graphs)
    return manifest(2, 3, maps=None, views=[dict(channels='bgr', steps=STEPS[:4])]) | dict(
        task='segmentation',
        stages=[dict(stage, on='image'), dict(stage, on='cell')],
        grid=dict(cell=[4, 5], margin=2),
        accept_cells=0.5,
        cells=dict(reduce='quantile', number=0.1, t_unk=0.5, empty='exit', stride=4),
        policy=dict(type='random', rates=[0.5], seed=3),
    )


def exits():
    data = classifier()
    data['stages'][0]['leaves'] = [[4, 2, 2], [3]]
    data['stages'][1]['continues'] = 0
    return data


CASES = {'classifier': classifier, 'segmentor': segmentor, 'exits': exits}


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize('name', CASES)
def test_what_the_runtime_reads_satisfies_the_schema(name):
    data = CASES[name]()
    Manifest.read(Fields(data, 'it'))
    VALIDATOR.validate(data)


def places(value, path=()):
    """Every place in nested data."""
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from places(inner, (*path, key))


JUNK = (None, True, -1, 0, 1, 2, 0.5, 1e40, '', 'x', '../a.onnx', [], {}, [1, 2], [None, None], [[0.1, 0.2]])


def mutated(data, rng):
    data = copy.deepcopy(data)
    path = rng.choice([place for place in places(data) if place])
    target = data
    for key in path[:-1]:
        target = target[key]
    if isinstance(target, dict) and rng.random() < 0.3:
        del target[path[-1]]
    else:
        target[path[-1]] = copy.deepcopy(rng.choice(JUNK))
    return data, path


@pytest.mark.parametrize('name', CASES)
def test_they_agree_on_what_is_wrong(name):
    """500 mutations each: the runtime accepts nothing that the schema refuses, and says why by one kind of error."""
    rng, refused, alike = random.Random(0), 0, 0
    for _ in range(500):
        data, path = mutated(CASES[name](), rng)
        try:
            Manifest.read(Fields(data, 'it'))
        except BundleError:
            refused += 1
            alike += not VALIDATOR.is_valid(data)
        else:
            assert VALIDATOR.is_valid(data), (path, data)
    # What depends on another field (lengths, orders) is the runtime's alone.
    assert refused > 250 and alike > 0.8 * refused
