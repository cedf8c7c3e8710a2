# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which cascade a calibration or a score store belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class StageIdentity:
    """A member applied to a view, and the fingerprint of the member's weights."""

    member: str
    view: int
    weights: str


@dataclass(frozen=True)
class CascadeIdentity:
    """What scores and thresholds depend on.

    Attributes:
        stages: the stages in order.
        confidence: name of the confidence function.
        fusion: 'prob', 'logit' or 'replace'.
        precision: type of the members' arithmetic, such as 'float32', or 'float16' under autocast.
    """

    stages: tuple[StageIdentity, ...]
    confidence: str
    fusion: str
    precision: str = 'float32'

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CascadeIdentity:
        return cls(tuple(StageIdentity(**stage) for stage in data['stages']), data['confidence'],
                   data['fusion'], data['precision'])

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def differences(self, here: CascadeIdentity) -> list[str]:
        """What is not the same in the cascade at hand, in words; precision is not compared."""
        found = []
        for name in ('confidence', 'fusion'):
            if getattr(self, name) != getattr(here, name):
                found.append(f'{name} was {getattr(self, name)!r} and is {getattr(here, name)!r}')
        if len(self.stages) != len(here.stages):
            return [*found, f'there were {len(self.stages)} stages and there are {len(here.stages)}']
        for index, (then, now) in enumerate(zip(self.stages, here.stages, strict=True)):
            if (then.member, then.view) != (now.member, now.view):
                found.append(f'stage {index} was member {then.member!r} on view {then.view} and is {now.member!r} on '
                             f'view {now.view}')
            elif then.weights != now.weights:
                found.append(f'the weights of member {now.member!r} of stage {index} have changed')
        return found
