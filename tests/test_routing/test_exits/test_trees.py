# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Trees of tensors keep their kinds, whatever is done to their rows."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcascade.routing import ExitState
from mmcascade.routing.exits.trees import join_trees, leaves, map_leaves


class Scales(NamedTuple):
    """What a network may well keep its maps in."""

    fine: object
    coarse: object = None


def tensors(rows):
    return st.integers(1, 3).map(lambda width: torch.rand(rows, width))


def trees(rows):
    return st.recursive(
        tensors(rows) | st.sampled_from([None, 7, 'x']),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.dictionaries(st.sampled_from('abc'), inner, max_size=3),
            st.builds(Scales, inner, inner),
        ),
        max_leaves=8,
    )


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b


@settings(max_examples=200, deadline=None)
@given(tree=trees(5), cut=st.integers(0, 5))
def test_what_is_cut_and_joined_is_the_same_tree(tree, cut):
    assert same(map_leaves(lambda x: x, tree), tree)
    parts = [map_leaves(lambda x: x[:cut], tree), map_leaves(lambda x: x[cut:], tree)]
    assert same(join_trees(parts), tree)
    assert len(list(leaves(tree))) == len(list(leaves(parts[0])))


def test_a_state_of_named_tuples_goes_through_selecting_and_joining():
    state = ExitState(0, Scales(torch.arange(6.0).view(3, 2), OrderedDict(last=torch.arange(3))))
    picked = ExitState.cat([state.pick(lambda x: x[:1]), state.pick(lambda x: x[1:]).own()])
    assert isinstance(picked.rows, Scales) and len(picked) == 3
    assert same(dict(picked.rows.coarse), dict(state.rows.coarse)) and torch.equal(picked.rows.fine, state.rows.fine)
