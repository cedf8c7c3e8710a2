# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Configs that are written: what is data in them stays data when they are read."""

from __future__ import annotations

import re
from pathlib import Path

from mmengine.config import Config

from mmcascade._system.files import write_text

_TEMPLATE = re.compile(r'\{\{(?! fileDirname \}\})')


def config_text(config: Config) -> str:
    r"""A config as a program that gives exactly its values.

    Example:
        >>> print(config_text(Config(dict(name='{{$HOME:b}}'))), end='')
        name = '{\x7b$HOME:b}}'
    """
    return without_templates(config.pretty_text)


def without_templates(text: str) -> str:
    r"""The text of a program in which MMEngine finds nothing to fill in.

    It fills in ``{{ ... }}`` before it runs a config, inside strings and comments, too, so a class name of a stranger's
    checkpoint could end its string and go on as code. In a string ``\x7b`` is the second brace. The folder of the
    config is left to be filled in: a calibration lies there.
    """
    return _TEMPLATE.sub(r'{\\x7b', text)


def write_config(config: Config, path: str | Path) -> None:
    """Write a config; its folder is made."""
    write_text(path, config_text(config))
