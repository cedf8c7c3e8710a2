# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a store says of itself: whose outputs it holds, on which data, and how they are laid out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mmcascade.calibration.stores.cell_records import Subset, stored_subsets, whole_outputs
from mmcascade.calibration.stores.store_identity import StoreIdentity
from mmcascade.routing import FUSIONS
from mmcascade.routing.checks import is_finite, whole

#: Version 0.1 wrote 1, without checksums of scores and without a digest of the header.
SCHEMA = 2
_KINDS = ('logits', 'probabilities')


@dataclass(frozen=True, kw_only=True)
class StoreHeader(ABC):
    """The part that both kinds of stores have.

    Attributes:
        identity: what the stored outputs depend on.
        config: the config that fills the store as a Python literal, from which configs of its cascades can be made;
            None = it could not be written as one.
    """

    #: What the units are: 'scores' of images, or 'cells' of images.
    kind: ClassVar[str]

    identity: StoreIdentity
    config: str | None = None

    def __post_init__(self) -> None:
        if self.config is not None and not isinstance(self.config, str):
            raise ValueError(f'config is the text of a config or null, got {self.config!r}')
        self.check()

    @property
    @abstractmethod
    def size(self) -> int:
        """How many images a complete store holds."""

    @abstractmethod
    def check(self) -> None:
        """Raise ValueError if the entries are of a wrong type or contradict each other."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """As it is written to a file."""

    @classmethod
    @abstractmethod
    def from_json(cls, data: Mapping[str, Any]) -> StoreHeader:
        """As it was read from a file, that of version 0.1 included.

        Raises:
            ValueError, KeyError, TypeError: if it is none.
        """


@dataclass(frozen=True, kw_only=True)
class ScoreHeader(StoreHeader):
    """The header of a store of scores.

    Attributes:
        units: number of images.
        classes: length of a row of scores.
        kinds: per stage 'logits' or 'probabilities'.
        features: per stage the number of features that are kept of a unit, or None; None = of no stage.
        sources: per stage its name, by which confidence functions that were fitted know it; None = no names.
        trunks: per stage a number that the exits of one network have in common, where a later one goes on from an
            earlier one; None = no stage does.
    """

    kind: ClassVar[str] = 'scores'

    units: int
    classes: int
    kinds: Sequence[str]
    features: Sequence[int | None] | None = None
    sources: Sequence[str] | None = None
    trunks: Sequence[int | None] | None = None

    @property
    def size(self) -> int:
        """How many units or images it is going to hold."""
        return self.units

    @property
    def stages(self) -> int:
        """How many there are."""
        return len(self.kinds)

    def check(self) -> None:
        """Raise an error that names what contradicts itself."""
        whole(self.units, 'units', least=0)
        whole(self.classes, 'classes', least=1)
        _list(self.kinds, 'kinds')
        _same(len(self.identity.stages), self.stages, 'number of stages')
        _same(self.identity.confidence, None, 'confidence of a store of scores')
        for name in self.kinds:
            if name not in _KINDS:
                raise ValueError(f'kinds are one of {_KINDS}, got {name!r}')
        for what, entries in (('features', self.features), ('sources', self.sources), ('trunks', self.trunks)):
            if entries is not None and len(_list(entries, what)) != self.stages:
                raise ValueError(f'{what} has {len(entries)} entries for {self.stages} stages')
        for width in self.features or ():
            if width is not None:
                whole(width, 'a number of features', least=1)
        _names(self.sources or (), 'sources')
        for trunk, stage in zip(self.trunks or (), self.identity.stages, strict=False):
            if trunk is not None and stage.exit is None:
                raise ValueError(f'a stage of member {stage.member!r} belongs to a trunk, and has no exit')
            if trunk is not None:
                whole(trunk, 'a trunk', least=0)

    def to_json(self) -> dict[str, Any]:
        """What a JSON file holds of it; :meth:`from_json` reads it back."""
        data: dict[str, Any] = {
            'schema': SCHEMA,
            'identity': self.identity.to_json(),
            'units': self.units,
            'classes': self.classes,
            'kinds': list(self.kinds),
            'config': self.config,
        }
        if self.features is not None:
            data['features'] = list(self.features)
        if self.sources is not None:
            data['sources'] = list(self.sources)
        if self.trunks is not None:
            data['trunks'] = list(self.trunks)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScoreHeader:
        """Read what :meth:`to_json` gave."""
        return cls(
            identity=StoreIdentity.from_json(data['identity']),
            units=data['units'],
            classes=data['classes'],
            kinds=data['kinds'],
            config=data.get('config'),
            features=data.get('features'),
            sources=data.get('sources'),
            trunks=data.get('trunks'),
        )


@dataclass(frozen=True, kw_only=True)
class CellHeader(StoreHeader):
    """The header of a store of cells.

    Attributes:
        images: their number.
        classes: their number or names.
        stages: a name for each stage, no name twice.
        on: what each stage runs on, 'image' or 'cell'.
        fusion, confidence, empty: of the cascade; with its temperatures they are part of what is stored.
        temperatures: one per stage; () = 1 for each.
    """

    kind: ClassVar[str] = 'cells'

    images: int
    classes: int | Sequence[str]
    stages: Sequence[str]
    on: Sequence[str]
    fusion: str
    confidence: str
    empty: str = 'go_on'
    temperatures: Sequence[float] = ()

    @property
    def size(self) -> int:
        """How many units or images it is going to hold."""
        return self.images

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return self.classes if isinstance(self.classes, int) else len(self.classes)

    @property
    def subsets(self) -> list[Subset]:
        """Whose fused outputs are stored, see :func:`~mmcascade.calibration.stores.cell_records.stored_subsets`."""
        return stored_subsets(len(self.stages), self.fusion, list(self.whole))

    @property
    def whole(self) -> dict[int, int]:
        """Which outputs are those of stages with a fallback on the whole image, by the stage."""
        fallbacks = [k for k, stage in enumerate(self.identity.stages) if stage.fallback is not None]
        return whole_outputs(len(self.stages), fallbacks)

    @property
    def outputs(self) -> int:
        """How many outputs are stored: one for each stage, and those of fallbacks."""
        return len(self.stages) + len(self.whole)

    def check(self) -> None:
        """Raise an error that names what contradicts itself."""
        whole(self.images, 'images', least=0)
        if isinstance(self.classes, int):
            whole(self.classes, 'classes', least=1)
        else:
            _names(_list(self.classes, 'classes'), 'classes')
        stages, on = _names(_list(self.stages, 'stages'), 'stages'), _names(_list(self.on, 'on'), 'on')
        if not stages or len(set(stages)) < len(stages) or len(on) != len(stages) or set(on) - {'image', 'cell'}:
            raise ValueError(
                f"each stage has a name of its own and runs on 'image' or 'cell', got {list(stages)} on {list(on)}"
            )
        if self.fusion not in FUSIONS:
            raise ValueError(f'unknown fusion {self.fusion!r}; expected one of {FUSIONS}')
        _same(len(self.identity.stages), len(stages), 'number of stages')
        _same(self.identity.confidence, self.confidence, 'confidence')
        _same(self.identity.fusion, self.fusion, 'fusion')
        if not isinstance(self.confidence, str):
            raise ValueError(f'confidence is the name of a confidence function, got {self.confidence!r}')
        if self.empty not in ('go_on', 'exit'):
            raise ValueError(f"empty is 'go_on' or 'exit', got {self.empty!r}")
        object.__setattr__(self, 'temperatures', list(_list(self.temperatures, 'temperatures')) or [1.0] * len(stages))
        if len(self.temperatures) != len(stages) or not all(is_finite(t) and t > 0 for t in self.temperatures):
            raise ValueError(f'temperatures are one number > 0 per stage, got {list(self.temperatures)}')

    def to_json(self) -> dict[str, Any]:
        """What a JSON file holds of it; :meth:`from_json` reads it back."""
        return {
            'schema': SCHEMA,
            'kind': self.kind,
            'identity': self.identity.to_json(),
            'images': self.images,
            'classes': self.classes if isinstance(self.classes, int) else list(self.classes),
            'stages': list(self.stages),
            'on': list(self.on),
            'subsets': [list(subset) for subset in self.subsets],
            'fusion': self.fusion,
            'confidence': self.confidence,
            'empty': self.empty,
            'temperatures': list(self.temperatures),
            'config': self.config,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CellHeader:
        """Read what :meth:`to_json` gave."""
        header = cls(
            identity=StoreIdentity.from_json(data['identity']),
            images=data['images'],
            classes=data['classes'],
            stages=data['stages'],
            on=data['on'],
            fusion=data['fusion'],
            confidence=data['confidence'],
            empty=data['empty'],
            temperatures=data['temperatures'],
            config=data['config'],
        )
        once = header.outputs - 2 * len(header.whole) - 1  # later stages with one output
        count = header.outputs if header.fusion == 'replace' else 2**once * 3 ** len(header.whole)
        if len(_list(data['subsets'], 'subsets')) != count or data['subsets'] != [
            list(subset) for subset in header.subsets
        ]:
            raise ValueError(f'subsets are not those of its {len(header.stages)} stages')
        return header


def _list(value: Any, name: str) -> Sequence[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f'{name} is a list, got {value!r}')
    return value


def _same(named: Any, here: Any, what: str) -> None:
    if named != here:
        raise ValueError(f'the {what} is {here!r}, and {named!r} in the identity')


def _names(values: Sequence[Any], name: str) -> Sequence[str]:
    for value in values:
        if not isinstance(value, str):
            raise ValueError(f'{name} holds names, got {value!r}')
    return values
