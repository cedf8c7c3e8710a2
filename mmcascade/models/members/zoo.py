# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Configs and weights of the model zoos, found through the metafiles that the libraries install.

The libraries are found by their import names, whatever their distributions are called, so
OpenMMLab's own packages and the OneDL forks work alike. Nothing is imported, and nothing is ever
installed.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

#: Searched in this order for a bare model name.
LIBRARIES = ('mmpretrain', 'mmseg')
_YAML = ('.yml', '.yaml')


@dataclass(frozen=True)
class ZooModel:
    """One entry of a metafile."""

    name: str
    config_entry: str | None
    weights_entry: str | None
    metafile: Path

    @property
    def config(self) -> Path:
        """The model's config file."""
        if self.config_entry is None:
            raise ValueError(f"zoo model '{self.name}' names no config in '{self.metafile}'")
        return self._locate(self.config_entry)

    @property
    def weights(self) -> str | None:
        """An URL or a path, or None if the zoo has no weights for this model."""
        if not self.weights_entry or '://' in self.weights_entry:
            return self.weights_entry or None
        return str(self._locate(self.weights_entry))

    def _locate(self, entry: str) -> Path:
        # Metafiles count paths from the folder of the index that imports them, which is theirs or
        # one above.
        for folder in self.metafile.parents:
            if (folder / entry).exists():
                return folder / entry
        raise FileNotFoundError(
            f"'{entry}' of zoo model '{self.name}' is neither beside '{self.metafile}' nor in a folder above it"
        )


def find_config(reference: str) -> Path:
    """The config file that a zoo reference means.

    Args:
        reference: a model name (``'mobilenet-v2_8xb32_in1k'``), the same of one library
            (``'mmseg::<name>'``), a config of a library
            (``'mmpretrain::resnet/resnet18_8xb32_in1k.py'``), or a model of your own metafile or
            model index (``'my/metafile.yml::<name>'``).

    Raises:
        ValueError: there is no such model or library; close names are suggested.
        FileNotFoundError: there is no such config file or metafile.
    """
    source, _, name = reference.rpartition('::')
    if _is_library_config(source, name):
        return _library_config(source, name)
    return _models_named(source, name)[0].config


def find_weights(reference: str) -> str:
    """URL or path of the weights that the zoo has for a reference, see :func:`find_config`.

    Raises:
        ValueError: the zoo has none, or several that the reference does not tell apart.
    """
    source, _, name = reference.rpartition('::')
    if _is_library_config(source, name):
        config = _library_config(source, name)
        entry = (Path('configs') / name).as_posix()
        models = [model for model in _library_models(source) if model.config_entry == entry]
        # Several trainings can share a config; the one called like it is meant.
        models = [model for model in models if model.name == config.stem] or models
    else:
        models = _models_named(source, name)
    found = {model.weights: model.name for model in models if model.weights}
    if not found:
        raise ValueError(
            f"the zoo has no weights for '{reference}'; give checkpoint= a path, or "
            'None to build the member without weights'
        )
    if len(found) > 1:
        listed = '\n  '.join(f'{name}: {weights}' for weights, name in found.items())
        raise ValueError(
            f"the zoo has several weights for '{reference}'; give model= one of these "
            f'names, or checkpoint= one of these files:\n  {listed}'
        )
    return next(iter(found))


def library_home(library: str) -> Path:
    """The folder with a library's ``configs`` and ``model-index.yml``."""
    spec = importlib.util.find_spec(library) if library.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"'{library}::' names no installed library; the zoos are those of "
            f'{" and ".join(LIBRARIES)} (pip install "mmcascade[onedl]")'
        )
    package = Path(next(iter(spec.submodule_search_locations)))
    # Wheels carry a copy in `.mim`; a checkout has the originals beside the package.
    for home in (package / '.mim', package.parent):
        if (home / 'model-index.yml').is_file() and (home / 'configs').is_dir():
            return home
    raise ValueError(
        f"{library} is installed in '{package}' without its zoo "
        '(.mim/model-index.yml); install it from a wheel, or give the path of a '
        'config file instead'
    )


def library_of(config: Path) -> str | None:
    """The library in whose zoo a config file lies, or None."""
    for library in LIBRARIES:
        try:
            home = library_home(library)
        except ValueError:  # not installed, or without its zoo
            continue
        if config.resolve().is_relative_to(home.resolve() / 'configs'):
            return library
    return None


def _is_library_config(source: str, name: str) -> bool:
    return bool(source) and Path(source).suffix not in _YAML and name.endswith('.py')


def _library_config(library: str, name: str) -> Path:
    configs = library_home(library) / 'configs'
    if not (configs / name).is_file():
        known = [path.relative_to(configs).as_posix() for path in configs.rglob('*.py')]
        raise FileNotFoundError(f"{library} has no config '{name}' under '{configs}'" + _suggestion(name, known))
    return configs / name


def _models_named(source: str, name: str) -> list[ZooModel]:
    models = list(_models_of(source))
    # Names are case-insensitive in the zoos; a few carry several weights.
    named = [model for model in models if model.name.lower() == name.lower()]
    if not named:
        where = f"'{source}'" if source else 'the zoos of ' + ' and '.join(_installed())
        raise ValueError(
            f"no model '{name}' in {where}"
            + _suggestion(name, [model.name for model in models])
            + ('' if source else _elsewhere(name))
            + '. A config file is given by its path, ending in .py'
        )
    return named


def _elsewhere(name: str) -> str:
    from mmcascade.models.members.networks.references import known_elsewhere  # imports the libraries: for errors only

    references = known_elsewhere(name)
    return f'; other libraries have it as {" and ".join(map(repr, references))}' if references else ''


def _models_of(source: str) -> Iterator[ZooModel]:
    if Path(source).suffix in _YAML:
        yield from read_index(Path(source).resolve())
    elif source:
        yield from _library_models(source)
    else:
        for library in _installed():
            yield from _library_models(library)


def _installed() -> list[str]:
    found = [library for library in LIBRARIES if importlib.util.find_spec(library) is not None]
    if not found:
        raise ValueError(
            'a zoo name needs one of the libraries '
            + ', '.join(LIBRARIES)
            + ', and none is installed (pip install "mmcascade[onedl]")'
        )
    return found


def _library_models(library: str) -> tuple[ZooModel, ...]:
    return read_index(library_home(library) / 'model-index.yml')


@lru_cache
def read_index(path: Path) -> tuple[ZooModel, ...]:
    """All models of a metafile, or of an index that imports metafiles."""
    if not path.is_file():
        raise FileNotFoundError(f"metafile '{path}' is not a file")
    loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    content = yaml.load(path.read_text(encoding='utf-8'), Loader=loader)  # noqa: S506  both loaders are safe ones
    if isinstance(content, list):
        content = {'Models': content}
    if not isinstance(content, dict) or not {'Models', 'Import'} & content.keys():
        raise ValueError(f"'{path}' is no metafile: it has neither 'Models' nor 'Import'")
    imported = (read_index(path.parent / entry) for entry in content.get('Import') or [])
    own = (
        ZooModel(str(entry['Name']), entry.get('Config'), entry.get('Weights'), path)
        for entry in content.get('Models') or []
    )
    return (*own, *(model for models in imported for model in models))


def _suggestion(name: str, known: list[str]) -> str:
    lowered = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)
    return '; close ones are ' + ', '.join(lowered[other] for other in close) if close else ''
