# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What ``from mmcascade import ...`` offers, and what it costs."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import mmcascade
from mmcascade._system.extras import MissingLibraryError, needed_by, require

NAMES = [name for name in mmcascade.__all__ if name != '__version__']
HOME = {name: f'mmcascade.{module}' for module, names in mmcascade._MODULES.items() for name in names}
SOURCE = Path(mmcascade.__file__)


def promised_to_type_checkers() -> set[tuple[str, str]]:
    """(module, name) of every import under TYPE_CHECKING."""
    (block,) = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If)]
    return {(node.module, alias.name) for node in block.body for alias in node.names}


def test_the_three_lists_of_names_agree():
    assert mmcascade.__all__ == sorted(mmcascade.__all__)
    assert set(NAMES) == HOME.keys()
    assert promised_to_type_checkers() == {(module, name) for name, module in HOME.items()}
    assert sum(map(len, mmcascade._MODULES.values())) == len(NAMES)


@pytest.mark.parametrize('name', NAMES)
def test_a_public_name_says_what_it_is_and_shows_it(name):
    found = getattr(mmcascade, name)
    assert found is getattr(importlib.import_module(HOME[name]), name)
    assert found is getattr(mmcascade, name)  # kept
    text = inspect.getdoc(found) or ''
    assert 'Example:' in text and '>>>' in text
    assert 'Args:' in text or 'Attributes:' in text


def test_dir_names_them_all_and_others_are_no_attributes():
    assert set(mmcascade.__all__) <= set(dir(mmcascade))
    with pytest.raises(AttributeError, match="module 'mmcascade' has no attribute 'window_policy'"):
        _ = mmcascade.window_policy


def test_importing_the_package_imports_nothing_heavy():
    code = 'import sys, mmcascade; print(*sorted(set(sys.modules) & {"torch", "numpy", "mmengine", "matplotlib"}))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ''


def test_a_missing_library_is_named_with_the_way_to_get_it():
    told = pytest.raises(MissingLibraryError, match='a thing needs timm, which is not installed: pip install')
    with told as raised, needed_by('a thing'):
        raise ModuleNotFoundError("No module named 'timm.models'", name='timm.models')
    assert isinstance(raised.value.__cause__, ModuleNotFoundError)
    with pytest.raises(ModuleNotFoundError, match='no_such_module_of_anybody'):  # no extra brings that
        require('no_such_module_of_anybody', 'a thing')
