# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The options of stages that are exits of one network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from mmcascade.models.members.exits.multi_exit import is_multi_exit
from mmcascade.models.runtimes.batch_sizes import AUTO
from mmcascade.models.stages.exit_stage import WAITS_WITH, ExitStage
from mmcascade.models.stages.stage import StageOptions
from mmcascade.routing.checks import is_whole

#: What the value of an option is, in words, and whether a value is one.
Options = Mapping[str, tuple[str, Callable[[Any], bool]]]

EXIT_OPTIONS: Options = {
    'exit': ('the number of an exit of the member, from 0', lambda v: is_whole(v, 0)),
    'continues': ('the number of an earlier stage', lambda v: is_whole(v, 0)),
    'waits_with': (f'one of {WAITS_WITH}', lambda v: v in WAITS_WITH),
}
EXIT_KEYS = tuple(EXIT_OPTIONS)
#: What a stage must have in common with the one that it goes on from: it never sees the image itself.
_SAME = ('view', 'frames', 'part', 'layout', 'resize', 'flip', 'interpolation', 'channels_last', 'amp')


def checked_trunks(members: nn.ModuleDict, stages: Sequence[tuple[str, Mapping[str, Any]]]) -> list[int | None]:
    """Per stage what it has in common with the stages that it goes on from, or that go on from it: the first of them.

    Args:
        members: the members.
        stages: per stage the member and the options.

    Returns:
        None for stages that stand alone.

    Raises:
        ValueError: if a stage cannot go on from the one that it names, or its member has no such exit.
    """
    trunks: list[int | None] = [None] * len(stages)
    last: dict[int, int] = {}  # per trunk the stage that the next one goes on from
    for index, (name, options) in enumerate(stages):
        _check_exit(index, name, members[name], options)
        before = options.get('continues')
        if before is None:
            continue
        _check_continues(index, before, stages)
        root = before if trunks[before] is None else trunks[before]
        assert root is not None
        if last.get(root, before) != before:
            raise ValueError(
                f'stage {index} continues stage {before}, which stage {last[root]} continues already; a network goes '
                f'on from where it is, so write continues={last[root]}, or leave continues out'
            )
        trunks[root] = trunks[index] = root
        last[root] = index
    return trunks


def _check_exit(index: int, name: str, member: nn.Module, options: Mapping[str, Any]) -> None:
    exit = options.get('exit')
    if exit is None:
        given = [key for key in ('continues', 'waits_with') if key in options]
        if given:
            raise ValueError(
                f'stage {index} has {given[0]}=, but no exit=; say at which exit of member {name!r} it ends, as in '
                f'dict(member={name!r}, exit=1, continues=0)'
            )
        return
    if not is_multi_exit(member):
        raise ValueError(
            f'stage {index} ends at exit {exit} of member {name!r}, but a {type(member).__name__} has no exits; leave '
            'exit= out, or take a network that has some, such as mmcascade.MultiExitClassifier'
        )
    exits = int(member.exits)  # type: ignore[arg-type]
    if exit >= exits:
        raise ValueError(f'stage {index} ends at exit {exit}, but member {name!r} has {exits} exits, 0 to {exits - 1}')
    if 'waits_with' in options and 'continues' not in options:
        raise ValueError(f'stage {index} has waits_with=, but continues no stage, so it waits with its input')


def _check_continues(index: int, before: int, stages: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    name, options = stages[index]
    if before >= index:
        raise ValueError(f'stage {index} continues stage {before}; it can continue an earlier one only')
    other, earlier = stages[before]
    if other != name or earlier.get('exit') is None:
        raise ValueError(
            f'stage {index} continues stage {before}, which is no exit of member {name!r}; it can continue an exit of '
            'the same member only'
        )
    if earlier['exit'] >= options['exit']:
        raise ValueError(
            f'stage {index} at exit {options["exit"]} continues stage {before} at exit {earlier["exit"]}; exits rise'
        )
    for key in _SAME:
        if options.get(key) != earlier.get(key):
            raise ValueError(
                f'stage {index} continues stage {before}, but {key} is {options.get(key)!r} here and '
                f'{earlier.get(key)!r} there; what was computed there is what this stage goes on with, so leave '
                f'continues out or give both the same {key}'
            )


def check_exit_options(index: int, options: StageOptions, gives_features: bool) -> None:
    """Raise ValueError on what an exit of a network cannot do."""
    if options.execution.runtime is not None or options.execution.compile:
        asked = 'runtime' if options.execution.runtime is not None else 'compile'
        raise ValueError(
            f'stage {index} is an exit of a network, which runs in torch only: {ExitStage.torch_only}. Leave {asked}= '
            'out'
        )
    if options.macs is not None:
        raise ValueError(
            f'stage {index} is an exit of a network, whose multiply-adds depend on where it goes on from and are '
            'counted; leave macs= out, and give operators that cannot be counted theirs with '
            'mmcascade.routing.register_macs'
        )
    if options.batch_size == AUTO:
        raise ValueError(f"stage {index} is an exit of a network, for which batch_size='auto' is not found; give one")
    if gives_features:
        raise ValueError(
            f'stage {index} is an exit of a network, which gives class scores and no features; use a confidence that '
            "reads class scores, such as 'max_prob' or 'energy'"
        )
