# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What cannot be a member, or not beside the others, is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from mmcascade.models.members.members import Member, build_member, check_members, num_classes
from tests.test_models.member_kinds import (
    tiny_resnet,
)

mmpretrain = pytest.importorskip('mmpretrain')

pytestmark = pytest.mark.usefixtures('no_network')


@pytest.mark.parametrize(
    'name, message',
    [
        ('', "non-empty string without '.'"),
        ('a.b', "member name 'a.b'"),
        (3, 'member name 3'),
        ('keys', 'an attribute of that name'),
        ('half', 'an attribute of that name'),
        ('training', 'an attribute of that name'),
    ],
)
def test_names_that_cannot_be_used(name, message):
    with pytest.raises(ValueError, match=message):
        build_member(name, nn.Identity())


@pytest.mark.parametrize(
    'model, error, message',
    [
        ('resnet18_8xb32', ValueError, 'close ones are resnet18_8xb'),
        ('configs/nowhere.py', FileNotFoundError, "config 'configs/nowhere.py' is not a file"),
        ('nowhere.yaml', FileNotFoundError, "config 'nowhere.yaml' is not a file"),
        (Path('nowhere'), FileNotFoundError, "config 'nowhere' is not a file"),
        (str(Path(__file__).parent), IsADirectoryError, 'is a folder without config.json, so it is no member'),
        (dict(backbone=dict()), ValueError, "the given dict describes no model.*'type'.*backbone"),
        (dict(model=dict(a=1)), ValueError, 'describes no model'),
        (dict(type='Nothing'), ValueError, r"'a' cannot be built.*Nothing(.|\n)*add _scope_="),
        (tiny_resnet(type='ImageClassifierr'), ValueError, r"'a' cannot be built from a dict(.|\n)*rr"),
        (tiny_resnet(depth=18), ValueError, r"'a' cannot be built.*TypeError.*depth"),
    ],
)
def test_models_that_do_not_exist(model, error, message):
    with pytest.raises(error, match=message):
        build_member('a', model)


def test_close_config_files_are_named(config_file):
    with pytest.raises(FileNotFoundError, match=r'close ones are net\.py'):
        build_member('a', str(config_file.with_name('nets.py')))


def test_config_without_model(tmp_path):
    (tmp_path / 'a.py').write_text('x = 1')
    with pytest.raises(ValueError, match=r"a\.py' describes no model.*\['x'\]"):
        build_member('a', str(tmp_path / 'a.py'))


def test_other_tasks_are_refused():
    head = dict(type='MultiLabelLinearClsHead', num_classes=5, in_channels=64)
    with pytest.raises(ValueError, match="'tags' cannot .*, MultiLabelLinearClsHead: it scores"):
        build_member('tags', tiny_resnet(head=head))


class Head(nn.Module):
    def __init__(self, count: int | None) -> None:
        super().__init__()
        self.num_classes = count


def member(name: str, count: int | None = None, classes: tuple[str, ...] | None = None) -> Member:
    return Member(name, Head(count), loaded=True, classes=classes)


@pytest.mark.parametrize(
    'members',
    [
        [],
        [member('a', 3)],
        [member('a', 3), member('b', 3)],
        [member('a', 3), member('b', None), member('c', 3)],
        [member('a', 3, ('x', 'y', 'z')), member('b', 3), member('c', 3, ('x', 'y', 'z'))],
        [member('a', None, ('x', 'y')), member('b', 2)],
    ],
)
def test_members_that_fit(members):
    check_members(members)


@pytest.mark.parametrize(
    'members, message',
    [
        ([member('a', 3), member('b', None), member('c', 4)], r"'a' \(3 classes\) and 'c' \(4 classes\)"),
        ([member('a', 3), member('b', None, ('x', 'y'))], r"'a' \(3 classes\) and 'b' \(2 classes\)"),
        (
            [member('a', 3, ('x', 'y', 'z')), member('b', 3), member('c', 3, ('x', 'z', 'y'))],
            "'a' and 'c' name class 1 differently: 'y' and 'z'",
        ),
        (
            [member('a', 3, ('x', 'y')), member('b', 3, ('x', 'y', 'z'))],
            r"'a' \(2 class names\) and 'b' \(3 class names\)",
        ),
    ],
)
def test_members_that_do_not_fit(members, message):
    with pytest.raises(ValueError, match=message):
        check_members(members)


def test_number_of_classes_is_unknown_without_a_head():
    assert num_classes(nn.Linear(2, 3)) is None
    assert member('a', None, ('x', 'y')).num_classes == 2


def test_classes_counted_in_the_backbone():
    config = tiny_resnet(backbone=dict(type='LeNet5', num_classes=5), head=dict(type='ClsHead'))
    del config['neck']
    assert build_member('a', config).num_classes == 5
