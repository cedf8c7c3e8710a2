# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The quickstart: train, calibrate, cascade, and compare on a test split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmcascade.comparison.classification.results import ClassifierResults
from mmcascade.comparison.classification.table import LABELS as CASCADES
from mmcascade.comparison.classification.table import claim_sentences, systems_table
from mmcascade.comparison.ood.table import ood_sentences, ood_table
from mmcascade.datasets.quickstart.fashion_mnist import fetch_fashion_mnist
from mmcascade.datasets.quickstart.small_pictures import write_small_pictures
from mmcascade.demo.members import COMPARISON, LARGE, PAIR, trained
from mmcascade.demo.ood import run_ood
from mmcascade.engine.console.configs import read_config
from mmcascade.engine.console.progress import Say

#: The config of each member.
MEMBERS = {'small0': 'small-seed0', 'small1': 'small-seed1', 'large': 'large'}
LABELS = {
    'small0': 'member, seed 0',
    'small1': 'member, seed 1',
    'large': 'larger member',
    'ensemble': 'ensemble of both seeds',
    **CASCADES,
}


@dataclass(frozen=True)
class Folders:
    """Where the quickstart reads and writes.

    Attributes:
        work_dir: everything that is made.
        data: of Fashion-MNIST, fetched if it is not there.
        ood_data: of the out-of-distribution sets, written if they are not there.
        configs: the shipped configs.
    """

    work_dir: Path
    data: Path
    ood_data: Path
    configs: Path


def quickstart(folders: Folders, cfg_options: Sequence[str] = (), say: Say = print) -> tuple[ClassifierResults, dict]:
    """Everything, from the data to the comparison; returns the parts of ``results.json``: all systems, and 'ood'.

    Args:
        folders: where to read and write.
        cfg_options: settings that override those of all configs, as 'key=value'.
        say: prints one line of progress.
    """
    say('data')
    fetch_fashion_mnist(folders.data)
    configs = folders.configs / 'quickstart'
    cfg = read_config(configs / 'cascade.py', cfg_options)
    cfg.model.members = {
        name: dict(model=str(configs / f'{member}.py'), checkpoint=str(_member(member, folders, cfg_options, say)))
        for name, member in MEMBERS.items()
    }
    results = COMPARISON.run(cfg, folders.work_dir, say)
    write_small_pictures(folders.ood_data)
    ood_cfg = Config.fromfile(folders.configs / 'ood' / 'fashion-mnist_window.py')
    for dataset in ood_cfg.test_dataloader.dataset.datasets[1:]:
        dataset.data_root = str(folders.ood_data)
    return results, run_ood(cfg, ood_cfg, folders.work_dir, say)


def show(results: Mapping[str, Any], ood: Mapping[str, Any], write: Callable[[str], None] = print) -> None:
    """Print the tables and what they say."""
    systems_table(results['systems'], LABELS).show()
    write('\n' + '\n'.join(claim_sentences(results)))
    for target, systems in ood['targets'].items():
        write(f'\nOut-of-distribution detection by {ood["confidence"]}, placed at {target} without OOD images:\n')
        ood_table(systems, f'{100 * float(target.partition("=")[2]):g}').show()
    write('\n' + '\n'.join(ood_sentences(systems, list(PAIR), [LARGE])))


def _member(member: str, folders: Folders, cfg_options: Sequence[str], say: Say) -> Path:
    config = folders.configs / 'quickstart' / f'{member}.py'
    epochs = read_config(config, cfg_options).train_cfg.max_epochs
    return trained(config, folders.work_dir / member / f'epoch_{epochs}.pth', say, cfg_options)
