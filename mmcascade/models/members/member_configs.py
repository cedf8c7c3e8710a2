# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From what a config says about a member to the dict that its library builds."""

from __future__ import annotations

import contextlib
import copy
import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.config.utils import MODULE2PACKAGE

from mmcascade.models.members.zoo import LIBRARIES, find_config, library_of

_CONFIG_SUFFIXES = ('.py', '.json', '.yaml', '.yml')


def model_config(model: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """The model dict to build, complete and free of downloads.

    - the data preprocessor comes from the config's top level where the model has none of its own,
      as in the libraries' runners; without it a member would run on pixels that nothing normalises
    - ``_scope_`` is set to the config's default scope, the prefix of ``type``, or the library in whose
      zoo the config lies, so that the model's parts are found under any default scope
    - ``init_cfg`` and ``pretrained`` are cleared, so that no weights are downloaded that the
      member's own checkpoint replaces anyway

    Args:
        model: a reference into a zoo (see :func:`mmcascade.models.members.zoo.find_config`), the path of a
            config file, a model dict, or a whole config.
    """
    scope = None
    if isinstance(model, (str, Path)):
        path = _config_path(model)
        config: Mapping[str, Any] = _read(path)
        scope = library_of(path)  # a few configs of the zoos leave their own library out
    elif 'type' in model:
        config = {'model': model}
    else:
        config = model
    if not isinstance(config.get('model'), Mapping) or 'type' not in config['model']:
        raise ValueError(
            f'{_named(model)} describes no model: expected a model dict with a '
            f"'type', or a config with such a 'model'; it has {sorted(config)}"
        )
    # Models read their test_cfg by attributes, as configs allow and plain dicts do not.
    built = ConfigDict(without_downloads(config['model']))
    if config.get('data_preprocessor') is not None:
        built.setdefault('data_preprocessor', copy.deepcopy(config['data_preprocessor']))
    scope = config.get('default_scope') or _scope_of_type(built['type']) or scope
    if scope:
        built.setdefault('_scope_', scope)
    return built


def read_member_config(model: str | Path) -> Config:
    """The whole config of a member, by a reference into a zoo or the path of a config file."""
    return _read(_config_path(model))


def without_downloads(config: Any) -> Any:
    """A copy of a model config in which nothing asks for pretrained weights."""
    if isinstance(config, Mapping):
        cleared = {
            key: _no_weights(value) if key == 'pretrained' else without_downloads(value)
            for key, value in config.items()
            if key != 'init_cfg'
        }
        # MMSegmentation's one downloads by default.
        if str(config.get('type')).rpartition('.')[2] == 'TIMMBackbone':
            cleared['pretrained'] = False
        return cleared
    if isinstance(config, (list, tuple)):
        return type(config)(without_downloads(value) for value in config)
    return copy.deepcopy(config)


def _no_weights(pretrained: Any) -> bool | None:
    # timm and Hugging Face wrappers take a bool, the segmentors a path or None.
    return False if isinstance(pretrained, bool) else None


def _scope_of_type(model_type: Any) -> str | None:
    if not isinstance(model_type, str) or '.' not in model_type:
        return None
    return model_type.partition('.')[0]


def _config_path(model: str | Path) -> Path:
    path = Path(model).expanduser()
    is_path = isinstance(model, Path) or (
        '::' not in model and (path.suffix in _CONFIG_SUFFIXES or len(path.parts) > 1)
    )
    if not is_path:
        return find_config(str(model))
    if path.is_dir():
        raise IsADirectoryError(
            f"'{path}' is a folder without config.json, so it is no member: folders hold models of Hugging Face, as "
            'save_pretrained writes them; for another network name its config and its checkpoint'
        )
    if not path.is_file():
        beside = [file.name for file in path.parent.glob('*.py')]
        close = difflib.get_close_matches(path.name, beside)
        raise FileNotFoundError(
            f"config '{path}' is not a file" + (f'; close ones are {", ".join(close)}' if close else '')
        )
    return path


def _read(path: Path) -> Config:
    with _bases_by_import_name():
        try:
            return Config.fromfile(path)
        except ImportError:  # which says what to install
            raise
        except Exception as error:  # a config is a program, and raises what it likes
            raise ValueError(f"config '{path}' cannot be read: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _bases_by_import_name() -> Iterator[None]:
    """Lets ``_base_ = ['mmseg::...']`` find a library whose distribution has another name."""
    before = dict(MODULE2PACKAGE)
    MODULE2PACKAGE.update({library: library for library in LIBRARIES})
    try:
        yield
    finally:
        MODULE2PACKAGE.update(before)


def _named(model: Any) -> str:
    return f"config '{model}'" if isinstance(model, (str, Path)) else 'the given dict'
