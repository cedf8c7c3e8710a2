# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a calibration is to reach, and how that is written."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from difflib import get_close_matches

from mmcascade._system.tables import without_prefix
from mmcascade.evaluation.curves.inputs import as_fraction

#: Goals of a decision: accept or reject a prediction.
DECISIONS = ('risk', 'coverage', 'tpr')
#: Goals of the routing itself (Wang et al. 2022, section 3.3: match the accuracy, or match the cost).
ROUTINGS = ('accuracy', 'miou', 'iou', 'macs', 'deferred', 'exits')
#: Those that speak of one class, which stands in brackets after them.
OF_A_CLASS = ('iou',)
_WRITTEN = re.compile(r'\s*([^\[=]*?)\s*(?:\[(.*)\])?\s*=(.*)', re.DOTALL)


@dataclass(frozen=True)
class Target:
    """What an operating point should reach.

    Attributes:
        kind: ``'risk'``, the share of errors among accepted units; ``'coverage'``, the share of
            accepted units; ``'tpr'``, the share of in-distribution units that is accepted;
            ``'accuracy'``, or of segmentations ``'miou'`` or the ``'iou'`` of one class, at the lowest
            cost; ``'macs'``, a budget of multiply-adds per unit on average, at the best accuracy;
            ``'deferred'``, the share of the units that reach a gap and go on; or ``'exits'``, how many
            times as many units leave at an exit as at the one before (Huang et al. 2018).
        value: Multiply-adds, a ratio above 0, or a fraction: in [0, 1] for a risk and a deferred share, in (0, 1]
            otherwise.
        class_name: Of which class, by its name or number; None where the kind speaks of none.
    """

    kind: str
    value: float
    class_name: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in DECISIONS + ROUTINGS:
            close = get_close_matches(self.kind, DECISIONS + ROUTINGS, 1)
            hint = f'; did you mean {close[0]!r}?' if close else ''
            raise ValueError(f'a target is one of {", ".join(DECISIONS + ROUTINGS)}, got {self.kind!r}{hint}')
        if (self.class_name is None) == (self.kind in OF_A_CLASS):
            raise ValueError(
                f"{', '.join(OF_A_CLASS)} names a class, as in 'iou[person]=0.6', by its name or number, and no other "
                f'target does; got {str(self)!r}'
            )
        if self.kind not in ('macs', 'exits'):
            as_fraction(self.value, f'target {self.kind}', positive=self.kind not in ('risk', 'deferred'))
        elif not 0 < self.value < math.inf:
            what = 'number of multiply-adds' if self.kind == 'macs' else 'ratio of neighbouring shares'
            raise ValueError(f'target {self.kind} must be a positive {what}, got {self.value!r}')

    def __str__(self) -> str:
        return f'{self.name}={self.value:g}'

    @property
    def name(self) -> str:
        """What is to be reached, such as 'risk' or 'iou[person]'."""
        return self.kind if self.class_name is None else f'{self.kind}[{self.class_name}]'

    @property
    def is_decision(self) -> bool:
        """Whether it asks for an accept threshold, rather than for a route."""
        return self.kind in DECISIONS

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read a target such as ``'risk=0.05'``, ``'macs=300M'`` (or ``'macs=3e8'``) or ``'iou[person]=0.6'``.

        Raises:
            ValueError: On another kind, on what is no number, and on a value out of range.

        Example:
            >>> Target.parse('iou[traffic light]=0.4')
            Target(kind='iou', value=0.4, class_name='traffic light')
        """
        found = _WRITTEN.fullmatch(text)
        try:
            kind, name, value = found.groups() if found else ('', None, '')
            number = without_prefix(value) if kind == 'macs' else float(value)
        except ValueError:
            raise ValueError(
                f"a target is written like 'risk=0.05', 'macs=300M' or 'iou[person]=0.6', got {text!r}"
            ) from None
        return cls(kind, number, None if name is None else name.strip())
