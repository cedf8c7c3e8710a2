# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is listed for mim was measured here: configs that exist, and the figures of the results."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.support import ROOT

RESULTS = ROOT / 'benchmarks' / 'results'
#: Per model the results and, per metric, the key there.
SOURCES = {
    'quickstart-window-cascade': (
        'quickstart.json',
        {'Top 1 Accuracy': 'accuracy/top1', 'Coverage at 5 % risk': 'selective/coverage@risk5'},
    ),
    'canvases-cell-cascade': ('quickstart_seg.json', {'mIoU': 'mIoU'}),
    'camvid-cell-cascade': ('camvid.json', {'mIoU': 'mIoU'}),
}


@pytest.fixture(scope='module')
def metafiles():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    return [yaml.safe_load((ROOT / name).read_text()) for name in index['Import']]


def test_every_model_has_a_config_a_collection_and_a_source(metafiles):
    collections = {entry['Name'] for file in metafiles for entry in file.get('Collections', ())}
    models = [model for file in metafiles for model in file['Models']]
    assert {model['Name'] for model in models} == set(SOURCES) and len(models) == len(SOURCES)
    for model in models:
        assert (ROOT / model['Config']).is_file() and model['In Collection'] in collections
    for file in metafiles:
        assert all((ROOT / entry['README']).is_file() for entry in file.get('Collections', ()))


def test_figures_are_those_of_the_results(metafiles):
    for model in (model for file in metafiles for model in file['Models']):
        name, keys = SOURCES[model['Name']]
        measured = json.loads((RESULTS / name).read_text())['systems']['cascade']
        assert model['Metadata']['FLOPs'] == round(1e9 * measured['cost/macs'])
        (result,) = model['Results']
        assert result['Metrics'] == {metric: pytest.approx(measured[key], abs=0.005) for metric, key in keys.items()}
