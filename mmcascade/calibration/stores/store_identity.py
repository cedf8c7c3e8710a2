# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the outputs in a store depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmcascade.calibration.stores.data_identity import DataIdentity, text
from mmcascade.calibration.stores.identity import CascadeIdentity, StageIdentity, check_member_name
from mmcascade.routing.checks import is_number, whole

#: Pixels of this class count nowhere, unless another number is given.
IGNORED = 255


@dataclass(frozen=True)
class StoreIdentity:
    """What stored outputs depend on, for both kinds of stores.

    Attributes:
        stages: the stages in order.
        precision: of the members' arithmetic, see :class:`~mmcascade.calibration.stores.identity.CascadeIdentity`.
        data: the images.
        preprocessing: fingerprint of what is done to them.
        confidence, fusion, grid: of the cascade, where cells are stored; None in a store of scores, which any of them
            can be read from.
        macs: the multiply-adds that stages were given in place of the counted ones; None if none was.
        temperatures: of the stages, where cells are stored and one of them is not 1.
        features: whether features are stored, too.
        ignore_index: the class of pixels that count nowhere, where cells are stored.
    """

    stages: tuple[StageIdentity, ...]
    precision: str
    data: DataIdentity
    preprocessing: str
    confidence: str | None = None
    fusion: str | None = None
    grid: str | None = None
    macs: tuple[float | None, ...] | None = None
    temperatures: tuple[float, ...] | None = None
    features: bool = False
    ignore_index: int = IGNORED

    def __post_init__(self) -> None:
        for stage in self.stages:
            check_member_name(stage.member)

    @property
    def cascade(self) -> CascadeIdentity:
        """All stages of a store of cells as one cascade.

        Raises:
            ValueError: in a store of scores, which belongs to no confidence function.
        """
        if self.confidence is None or self.fusion is None:
            raise ValueError('a store of scores belongs to no confidence function and no fusion')
        return CascadeIdentity(self.stages, self.confidence, self.fusion, self.precision, self.grid)

    def to_json(self) -> dict[str, Any]:
        """What a JSON file holds of it; :meth:`from_json` reads it back."""
        members = {'stages': [stage.to_json() for stage in self.stages], 'precision': self.precision}
        return {
            **({'members': members} if self.confidence is None else {'cascade': self.cascade.to_json()}),
            'data': self.data.to_json(),
            'preprocessing': self.preprocessing,
            **({} if self.macs is None else {'macs': list(self.macs)}),
            **({} if self.temperatures is None else {'temperatures': list(self.temperatures)}),
            **({'kind': _WITH_FEATURES} if self.features else {}),
            **({} if self.ignore_index == IGNORED else {'ignore_index': self.ignore_index}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StoreIdentity:
        """As it stands in the header of a store, that of version 0.1 included.

        Raises:
            ValueError, KeyError, TypeError: if it is none.
        """
        if not isinstance(data, Mapping):
            raise ValueError(f'identity is an object, got {data!r}')
        members = data.get('members', data.get('cascade'))
        if not isinstance(members, Mapping):
            raise ValueError('identity names neither members nor a cascade')
        named = {key: members[key] for key in ('confidence', 'fusion', 'grid') if members.get(key) is not None}
        return cls(
            tuple(StageIdentity.from_json(stage) for stage in members['stages']),
            text(members['precision'], 'precision'),
            DataIdentity.from_json(data['data']),
            text(data['preprocessing'], 'preprocessing'),
            **{key: text(value, key) for key, value in named.items()},
            macs=_numbers(data.get('macs'), 'macs'),
            temperatures=_numbers(data.get('temperatures'), 'temperatures'),
            features=data.get('kind') == _WITH_FEATURES,
            ignore_index=whole(data.get('ignore_index', IGNORED), 'ignore_index', least=-(2**31)),
        )

    def differences(self, here: StoreIdentity) -> list[str]:
        """What is not the same in the cascade and the data at hand, in words."""
        stages = self.stages != here.stages or any(map(StageIdentity.in_other_mode, self.stages, here.stages))
        found = {
            'members': stages or self.precision != here.precision,
            'confidence': self.confidence != here.confidence,
            'fusion': self.fusion != here.fusion,
            'grid': self.grid != here.grid,
            'preprocessing': self.preprocessing != here.preprocessing,
            'macs': self.macs != here.macs,
            'temperatures': self.temperatures != here.temperatures,
            'kind': self.features != here.features,
            'ignore_index': self.ignore_index != here.ignore_index,
        }
        return [*(what for what, changed in found.items() if changed), *self.data.differences(here.data)]


_WITH_FEATURES = 'with features'


def _numbers(values: Any, name: str) -> tuple[Any, ...] | None:
    if values is None:
        return None
    if not isinstance(values, Sequence) or not all(value is None or is_number(value) for value in values):
        raise ValueError(f'{name} holds numbers, got {values!r}')
    return tuple(values)
