# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Configs as a command line names them."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config

#: The config in a folder that ``mmcascade build`` made.
CONFIG = 'cascade.py'
ENDINGS = ('.py', '.json', '.yaml', '.yml')


class ConfigError(ValueError):
    """A config that is not there, that does not run, or whose settings are not written right."""


def config_in(path: str | Path) -> Path:
    """The config that a path means: itself, or the one in the folder of a build."""
    inside = Path(path) / CONFIG
    return inside if inside.is_file() else Path(path)


def read_config(path: str | Path, cfg_options: Sequence[str] | None = None) -> Config:
    """Run a config and override settings of it.

    Args:
        path: of the config. It is a program.
        cfg_options: 'key=value' pairs, as ``--cfg-options`` takes them.

    Raises:
        ConfigError: saying what to put right.
    """
    from mmengine.config import Config

    _check_path(Path(path))
    options = read_options(cfg_options or ())
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is a program, and raises what it likes
        raise ConfigError(f'{path} cannot be read{_line(error, Path(path))}: {_reason(error)}') from error
    try:
        cfg.merge_from_dict(options)
    except Exception as error:  # of lists and strings that are given keys, such as members.0.x
        raise ConfigError(
            f'--cfg-options {" ".join(cfg_options or ())} does not fit {path}: {_reason(error)}'
        ) from error
    return cfg


def read_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Settings from 'key=value' texts, with the values that MMEngine's DictAction makes of them.

    Raises:
        ConfigError: if one is no such pair.
    """
    from mmengine.config import DictAction

    options = {}
    for pair in pairs:
        key, equals, value = pair.partition('=')
        if not equals or not key:
            raise ConfigError(f'--cfg-options takes pairs such as test_dataloader.batch_size=64, got {pair!r}')
        try:
            options[key] = DictAction._parse_iterable(value)
        except AssertionError as error:
            raise ConfigError(f'--cfg-options {pair}: {error}') from None
    return options


def _check_path(path: Path) -> None:
    if path.is_dir():
        found = config_in(path)
        raise ConfigError(f'{path} is a folder; name the config in it' + ('' if found == path else f', {found}'))
    if not path.exists():
        raise ConfigError(f'there is no config {str(path)!r}{_neighbours(path)}')
    if path.suffix not in ENDINGS:
        raise ConfigError(f'{path} is no config: it ends with none of {", ".join(ENDINGS)}')


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f', nor a folder {str(path.parent)!r}'
    names = [file.name for file in path.parent.iterdir() if file.suffix in ENDINGS]
    close = get_close_matches(path.name, names, 1)
    return f'; did you mean {str(path.parent / close[0])!r}?' if close else ''


def _reason(error: Exception) -> str:
    message = str(error).strip()
    return f'{type(error).__name__}: {message}' if message else type(error).__name__


def _line(error: Exception, path: Path) -> str:
    """Where in the config, if the error says it."""
    if isinstance(error, SyntaxError):
        return f' (line {error.lineno})' if error.lineno else ''
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f' (line {lines[-1]})' if lines else ''
