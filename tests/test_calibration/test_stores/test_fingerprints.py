# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What tells networks apart, and what must stay as earlier versions wrote it."""

from __future__ import annotations

import torch
from torch import nn

from mmcascade.calibration.stores.fingerprints import module_fingerprint


class Preprocessor(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        vars(self).update(settings)


class Preprocessed(nn.Module):
    """A network with a data preprocessor of its own, as OpenMMLab has them."""

    def __init__(self, **settings):
        super().__init__()
        self.data_preprocessor = Preprocessor(**settings)
        self.fc = nn.Linear(2, 1)


class Around(nn.Module):
    """One that wraps another, as recognisers are wrapped."""

    def __init__(self, network):
        super().__init__()
        self.network = network


def of(network):
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    return module_fingerprint(network)


def test_it_stays_as_earlier_versions_wrote_it():
    assert of(nn.Sequential(nn.Linear(2, 3), nn.ReLU())) == 'e81127cd4806db32'
    assert of(Preprocessed(to_rgb=True, order='NCHW')) == '9aa25c328f1b5aaf'


def test_settings_of_preprocessing_count_wherever_they_lie():
    for wrap in (lambda network: network, Around, lambda network: Around(Around(network))):
        rgb, bgr = (wrap(Preprocessed(to_rgb=to_rgb)) for to_rgb in (True, False))
        assert of(rgb) != of(bgr)
        assert of(rgb) == of(wrap(Preprocessed(to_rgb=True))) == of(rgb.train())
