# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which cascade a calibration or a score store belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mmcascade.routing import Confidence, build_confidence
from mmcascade.routing.checks import finite, whole


@dataclass(frozen=True)
class StageIdentity:
    """A member applied to a view, and the fingerprint of the member's weights.

    Attributes:
        resize: how the view is resized on the device, such as '160x160 bicubic'.
        flip: whether it is mirrored there.
        on: in a segmentation cascade, what the member is run on: 'images', 'cells' or 'cells with a margin of 64'.
        scale: factor by which that is resized first.
        arithmetic: of a member that runs in a runtime and a precision in which it computes other scores, such as
            'bfloat16 in openvino'.
        frames: of clips, which frames are seen, such as '8 frames'; None = as the view is.
        exit: of a network with several, from 0, at which of them it is left; None = it has one end.
        fallback: in a segmentation cascade, what the member is run on where crops would cost as much, 'images'.
        join: in a segmentation cascade, how cells that go on are cut out together, 'rectangles'.
        mode: in a segmentation cascade, how the member's own config tests it: 'whole', or 'in windows of 512 x 512 at
            steps of 341 x 341', and what it pads. None in files of earlier versions, which did not note it: where
            either says nothing, both are taken to be the same.
    """

    member: str
    view: int
    weights: str
    resize: str | None = None
    flip: bool = False
    on: str | None = None
    scale: float = 1.0
    arithmetic: str | None = None
    exit: int | None = None
    frames: str | None = None
    fallback: str | None = None
    join: str | None = None
    mode: str | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Without what is not there or changes nothing, so that files of stages without it never change."""
        optional = {
            'resize': None,
            'flip': False,
            'on': None,
            'scale': 1.0,
            'arithmetic': None,
            'exit': None,
            'frames': None,
            'fallback': None,
            'join': None,
            'mode': None,
        }
        return {key: value for key, value in asdict(self).items() if key not in optional or value != optional[key]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StageIdentity:
        """As it stands in a file.

        Raises:
            ValueError, TypeError: if it is none.
        """
        stage = cls(**data)
        for name in ('member', 'weights'):
            if not isinstance(getattr(stage, name), str):
                raise ValueError(f'{name} of a stage is a string, got {getattr(stage, name)!r}')
        for name in ('resize', 'on', 'arithmetic', 'frames', 'fallback', 'join', 'mode'):
            if not isinstance(getattr(stage, name), str | None):
                raise ValueError(f'{name} of a stage is a string or null, got {getattr(stage, name)!r}')
        if not isinstance(stage.flip, bool):
            raise ValueError(f'flip of a stage is true or false, got {stage.flip!r}')
        whole(stage.view, 'view of a stage', least=0)
        if stage.exit is not None:
            whole(stage.exit, 'exit of a stage', least=0)
        finite(stage.scale, 'scale of a stage')
        check_member_name(stage.member)
        return stage

    def in_other_mode(self, here: StageIdentity) -> bool:
        """Whether two stages are known to test their member in different ways."""
        return None not in (self.mode, here.mode) and self.mode != here.mode

    @property
    def source(self) -> str:
        """The stage's name in score stores and feature banks, wherever it stands in a cascade."""
        return f'{self.member} on {self.input}'

    @property
    def input(self) -> str:
        """What the member is applied to, in words, and in which arithmetic, where that changes its scores."""
        how = f' in {self.arithmetic}' if self.arithmetic else ''
        if self.on is not None:
            on = self.on if self.join is None else f'{self.on} in {self.join}'
            on += '' if self.fallback is None else f' or {self.fallback}'
            return on + (f' at scale {self.scale:g}' if self.scale != 1 else '') + how
        view = f'view {self.view}' + (f' at {self.resize}' if self.resize else '') + (' mirrored' if self.flip else '')
        view += f', {self.frames}' if self.frames else ''
        return view + ('' if self.exit is None else f' up to exit {self.exit}') + how


def check_member_name(name: str) -> None:
    """Raise ValueError on what is no name of a member: it names folders that a search writes, and parts of weights."""
    if not name or any(sign in name for sign in './\\\0') or not name.isprintable():
        raise ValueError(f'a member has a printable name without ".", "/" and "\\", got {name!r}')


def joined_precision(each: Sequence[str]) -> str:
    """The arithmetic of a cascade: that of its stages, named once if they agree."""
    return each[0] if len(set(each)) == 1 else ', '.join(each)


def chain_precision(joined: str, chain: Sequence[int]) -> str:
    """The arithmetic of some stages of a cascade, or of several with the same one after the other."""
    each = joined.split(', ')
    return joined_precision([each[stage % len(each)] for stage in chain])


@dataclass(frozen=True)
class CascadeIdentity:
    """What scores and thresholds depend on.

    Attributes:
        stages: the stages in order.
        confidence: name of the confidence function.
        fusion: 'prob', 'logit' or 'replace'.
        precision: type of the members' arithmetic, such as 'float32', or 'float16' under autocast; where stages
            differ, that of each, as in 'float16, float32'.
        grid: in a segmentation cascade, the cells, such as 'cells of 512 x 512'.
        detector: the confidence function itself where it is an object and not one of the built-in names. It is not
            written to files, where its name stands for it.
    """

    stages: tuple[StageIdentity, ...]
    confidence: str
    fusion: str
    precision: str = 'float32'
    grid: str | None = None
    detector: Confidence | None = field(default=None, compare=False, repr=False)

    @property
    def scoring(self) -> str | Confidence:
        """What a router takes as its confidence function."""
        return self.detector or self.confidence

    @property
    def least_members(self) -> int:
        """How many members have to run before the confidence tells units apart; of cells, 1."""
        return build_confidence(self.scoring).least_members if self.grid is None else 1

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CascadeIdentity:
        """Read what :meth:`to_json` gave."""
        return cls(
            tuple(StageIdentity.from_json(stage) for stage in data['stages']),
            data['confidence'],
            data['fusion'],
            data['precision'],
            data.get('grid'),
        )

    def to_json(self) -> dict[str, Any]:
        """What a JSON file holds of it; :meth:`from_json` reads it back."""
        return {
            'stages': [stage.to_json() for stage in self.stages],
            'confidence': self.confidence,
            'fusion': self.fusion,
            'precision': self.precision,
            **({} if self.grid is None else {'grid': self.grid}),
        }

    def differences(self, here: CascadeIdentity) -> list[str]:
        """What is not the same in the cascade at hand, in words; precision is not compared."""
        found = []
        for name in ('confidence', 'fusion', 'grid'):
            if getattr(self, name) != getattr(here, name):
                found.append(f'{name} was {getattr(self, name)!r} and is {getattr(here, name)!r}')
        if len(self.stages) != len(here.stages):
            return [*found, f'there were {len(self.stages)} stages and there are {len(here.stages)}']
        for index, (then, now) in enumerate(zip(self.stages, here.stages, strict=True)):
            if (then.member, then.input) != (now.member, now.input):
                found.append(
                    f'stage {index} was member {then.member!r} on {then.input} and is {now.member!r} on {now.input}'
                )
            elif then.weights != now.weights:
                found.append(f'the weights of member {now.member!r} of stage {index} have changed')
            elif then.in_other_mode(now):
                found.append(f'member {now.member!r} of stage {index} was run {then.mode} and is run {now.mode}')
        return found
