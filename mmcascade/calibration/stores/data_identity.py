# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which images and annotations a store was filled from, and whether they are still the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mmcascade.routing.checks import whole


class FileIdentity:
    """By what files are known again: quickly by size and time, surely by content.

    Two are equal if either agrees: files that were copied have new times, and nothing has to be read of those that
    were not touched.

    Args:
        stat: fingerprint of the sizes and times of change.
        content: fingerprint of the bytes, or a function that reads them when they are asked for.
    """

    def __init__(self, stat: str, content: str | Callable[[], str]) -> None:
        self.stat = stat
        self._content = content

    @cached_property
    def content(self) -> str:
        """Fingerprint of the bytes; reads the files when it is first asked for."""
        return self._content if isinstance(self._content, str) else self._content()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileIdentity) and (self.stat == other.stat or self.content == other.content)

    __hash__ = None  # type: ignore[assignment]

    def to_json(self) -> dict[str, str]:
        """What a JSON file holds of it; :meth:`from_json` reads it back."""
        return {'stat': self.stat, 'content': self.content}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FileIdentity:
        """Read what :meth:`to_json` gave."""
        return cls(text(data['stat'], 'stat'), text(data['content'], 'content'))


@dataclass(frozen=True)
class DataIdentity:
    """The images of a data set, in order.

    Attributes:
        units: their number.
        fingerprint: of their paths, or of their content where they lie in memory.
        images: what tells whether their files are still the same; None where version 0.1 did not note it.
        labels: the same of labels or annotations, and of the names of their classes; None also where labels are not
            looked at.
    """

    units: int
    fingerprint: str
    images: FileIdentity | None = None
    labels: FileIdentity | None = None

    def to_json(self) -> dict[str, Any]:
        """What a JSON file holds of it; :meth:`from_json` reads it back."""
        return {
            **self.summary(),
            **({} if self.images is None else {'images': self.images.to_json()}),
            **({} if self.labels is None else {'labels': self.labels.to_json()}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DataIdentity:
        """Read what :meth:`to_json` gave, or version 0.1."""
        return cls(
            whole(data['units'], 'units of the data', least=0),
            text(data['fingerprint'], 'fingerprint'),
            None if data.get('images') is None else FileIdentity.from_json(data['images']),
            None if data.get('labels') is None else FileIdentity.from_json(data['labels']),
        )

    def summary(self) -> dict[str, Any]:
        """As calibration files name the data."""
        return {'units': self.units, 'fingerprint': self.fingerprint}

    def differences(self, here: DataIdentity) -> list[str]:
        """What is not the same here, in words; where the same files lie does not count."""
        if self.units != here.units:
            return ['data']
        found = []
        if self.images is None or here.images is None:
            if self.fingerprint != here.fingerprint:
                found.append('data')
        elif self.images != here.images:
            found.append(CONTENT if self.fingerprint == here.fingerprint else 'data')
        if self.labels is not None and here.labels is not None and self.labels != here.labels:
            found.append(LABELS)
        return found

    def traces(self) -> tuple[str | None, ...]:
        """Where the files lie, and their sizes and times."""
        return (self.fingerprint, *(None if each is None else each.stat for each in (self.images, self.labels)))

    def moved(self, here: DataIdentity) -> bool:
        """Whether these are the same images in another place."""
        return self.fingerprint != here.fingerprint and not self.differences(here)


CONTENT, LABELS = 'content of the images', 'labels or annotations'


def text(value: Any, name: str) -> str:
    """The value, a string; ValueError on anything else."""
    if not isinstance(value, str):
        raise ValueError(f'{name} is a string, got {value!r}')
    return value
