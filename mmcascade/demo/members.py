# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The members of the quickstarts, which are trained where they are not there yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmcascade.comparison.classification.comparison import ClassifierComparison
from mmcascade.engine.configs.training import TrainFlags
from mmcascade.engine.console.configs import read_config
from mmcascade.engine.console.progress import Say
from mmcascade.engine.runs.training import is_trained, last_checkpoint, run_train

#: The members of the quickstart, small ones that differ by their seed, and what the cascade of both is compared with.
PAIR = ('small0', 'small1')
LARGE = 'large'
COMPARISON = ClassifierComparison(PAIR, (LARGE,))


def trained(config: Path, checkpoint: Path, say: Say, cfg_options: Sequence[str] = (), validate: bool = True) -> Path:
    """A member's checkpoint. A training that was interrupted goes on from its last checkpoint; its log is a file.

    Args:
        config: of the member.
        checkpoint: with which the training ends; its folder gets everything else.
        say: prints one line of progress.
        cfg_options: settings that override the config's, as 'key=value'.
        validate: evaluate in between.
    """
    name = checkpoint.parent.name
    if is_trained(checkpoint):
        say(f'{name} is trained already')
        return checkpoint
    say(f'training {name} to {checkpoint.name}')
    resume = None if last_checkpoint(checkpoint.parent) is None else 'auto'
    flags = TrainFlags(str(config), work_dir=str(checkpoint.parent), resume=resume, validate=validate)
    log = run_train(read_config(config, cfg_options), flags)
    say(f'{name} is trained; log: {log}')
    return checkpoint
