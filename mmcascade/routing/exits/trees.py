# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Tuples, lists and dicts of tensors whose rows are units."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

#: A tensor, or a tuple (named ones, too), list or dict of trees. What is none of these (a number, None) is the same for
#: all units.
Tree = Any


def leaves(tree: Tree) -> Iterator[Tensor]:
    """Every tensor of a tree."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for branch in tree.values():
            yield from leaves(branch)
    elif isinstance(tree, (list, tuple)):
        for branch in tree:
            yield from leaves(branch)


def map_leaves(function: Callable[[Tensor], Any], tree: Tree) -> Tree:
    """The same tree with something else in the place of every tensor.

    Example:
        >>> import torch
        >>> map_leaves(len, {'a': torch.zeros(2, 3), 'b': [torch.zeros(4), None]})
        {'a': 2, 'b': [4, None]}
    """
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {key: map_leaves(function, branch) for key, branch in tree.items()}
    if isinstance(tree, (list, tuple)):
        return _like(tree, [map_leaves(function, branch) for branch in tree])
    return tree


def join_trees(trees: Sequence[Tree]) -> Tree:
    """One tree of the rows of several, which are alike."""
    first = trees[0]
    if isinstance(first, Tensor):
        return torch.cat(list(trees))
    if isinstance(first, Mapping):
        return {key: join_trees([tree[key] for tree in trees]) for key in first}
    if isinstance(first, (list, tuple)):
        return _like(first, [join_trees(branches) for branches in zip(*trees, strict=True)])
    return first


def _like(tree: Sequence[Any], branches: Sequence[Tree]) -> Tree:
    """A tuple, named tuple or list of the kind of another one."""
    kind: Any = type(tree)
    return getattr(kind, '_make', kind)(branches)
