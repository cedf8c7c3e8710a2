# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What decides, judges and calibrates works where no library of OpenMMLab can be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARIES = ('mmengine', 'mmcv', 'mmpretrain', 'mmseg')

BLOCKED = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {LIBRARIES!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Blocked())
"""

IMPORT = """
import importlib, pkgutil
count = 0
for root in ('mmcascade.routing', 'mmcascade.evaluation.curves', 'mmcascade.calibration'):
    package = importlib.import_module(root)
    for module in pkgutil.walk_packages(package.__path__, root + '.'):
        importlib.import_module(module.name)
        count += 1
print(count)
"""

USE = """
import numpy as np
from pathlib import Path
from mmcascade import ThresholdPolicy, WindowPolicy, aurc, certify, coverage_at_risk
from mmcascade.calibration.replay.replay import replay
from mmcascade.calibration.search.candidates import Candidates
from mmcascade.calibration.replay.quality import Quality
from mmcascade.calibration.search.search import search
from mmcascade.calibration.grid.plan import Plan
from tests.support.stored.synthetic_scores import make_store, skilled_logits

logits, labels = skilled_logits(2000, skills=(2.0, 3.0))
store = make_store(Path('store'), logits, labels)
alone = replay(store.stages(), WindowPolicy([None]), len(labels))
cascade = replay(store.stages(), ThresholdPolicy([0.9]), len(labels))
wrong = {name: result.label != labels for name, result in (('alone', alone), ('cascade', cascade))}
assert aurc(cascade.confidence, wrong['cascade']) < aurc(alone.confidence, wrong['alone'])
tau = certify(cascade.confidence, wrong['cascade'], risk=0.2, delta=0.1)
kept = cascade.confidence >= tau
assert wrong['cascade'][kept].mean() <= 0.2
assert kept.mean() <= coverage_at_risk(cascade.confidence, wrong['cascade'], 0.2)
plan = Plan(Quality.parse('accuracy'), max_settings=1e4)
found = search(Candidates.from_stores([store]), np.arange(len(labels)), plan)
costs, gains = zip(*((setting.cost, setting.gain) for setting in found.front))
assert len(costs) > 2 and list(costs) == sorted(costs) and list(gains) == sorted(gains)
print(len(costs))
"""

IN_PYTHON = """
import timm, torch
from mmcascade import Cascade

torch.manual_seed(0)
x = torch.randn(600, 3, 32, 32)
y = (x.mean((1, 2, 3)) > 0).long()
flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 2))
with torch.no_grad():
    flat[1].weight.copy_(torch.tensor([[-1.0], [1.0]]) / 30)
network = timm.create_model('test_resnet', num_classes=2)
cascade = Cascade([flat, network]).calibrate([(x[:300], y[:300])], target='coverage=0.5')
assert len(cascade.predict(x[300:])) == 300
print(cascade.evaluate([(x[300:], y[300:])]).verdict())
try:
    from mmcascade import WindowCascadeClassifier
except ImportError as error:
    assert 'needs mm' in str(error) and 'pip install' in str(error), error
else:
    raise SystemExit('imported')
"""

NEEDS_MORE = """
import importlib
try:
    importlib.import_module({module!r})
except ImportError as error:
    print(error)
else:
    raise SystemExit('imported')
"""


def run(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, '-c', BLOCKED + code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout.strip()


def test_every_module_of_the_core_imports(tmp_path):
    assert int(run(IMPORT, tmp_path)) >= 50


def test_the_core_replays_judges_certifies_and_searches(tmp_path):
    assert int(run(USE, tmp_path)) > 2


def test_a_cascade_in_python(tmp_path):
    assert 'cascade' in run(IN_PYTHON, tmp_path)


@pytest.mark.parametrize(
    'module',
    [
        'mmcascade.registry',
        'mmcascade.datasets',
        'mmcascade.engine.runs.prepare_store',
        'mmcascade.evaluation.metrics',
        'mmcascade.datasets.transforms.mark_ood',
        'mmcascade.comparison.testing',
        'mmcascade.demo.quickstart',
        'mmcascade.apis.inferencers.cascade_inferencer',
    ],
)
def test_what_needs_them_says_what_to_install(module, tmp_path):
    message = run(NEEDS_MORE.format(module=module), tmp_path)
    assert 'needs mm' in message and 'pip install "mmcascade[onedl]"' in message
