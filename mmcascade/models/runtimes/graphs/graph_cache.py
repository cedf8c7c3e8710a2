# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Graphs that were written before, in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from mmcascade._system.files import write_bytes, write_json
from mmcascade._system.locks import locked

#: Another one where graphs of the same members give something else.
SCHEMA = 2


class GraphCache:
    """Files by what they were made from, each with a note on what was found out about it.

    A file that is damaged, or was not written to its end, is made again.

    Args:
        folder: by default ``mmcascade/graphs`` in the user's cache folder (``$XDG_CACHE_HOME``, else ``~/.cache``).
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
        self.folder = Path(base, 'mmcascade', 'graphs') if folder is None else Path(folder)

    def lock(self, key: str) -> AbstractContextManager[None]:
        """Let no other process work on a key meanwhile."""
        return locked(self.folder / f'{key}.lock')

    def get(self, key: str, make: Callable[[], bytes]) -> Path:
        """The file of a key, as it is there or as ``make`` gives it."""
        path = self.folder / f'{key}.onnx'
        if not self._is_whole(path, key):
            content = make()
            write_bytes(path, content)
            write_json(self._note(key), dict(schema=SCHEMA, sha256=hashlib.sha256(content).hexdigest(), facts={}))
        return path

    def fact(self, key: str, name: str) -> Any:
        """What was noted about a key, or None."""
        return self._read(key).get('facts', {}).get(name)

    def note(self, key: str, facts: Mapping[str, Any]) -> None:
        """Note something about a key, whether there is a file or not."""
        content = dict(schema=SCHEMA) | self._read(key)
        write_json(self._note(key), content | dict(facts={**content.get('facts', {}), **facts}))

    def _note(self, key: str) -> Path:
        return self.folder / f'{key}.json'

    def _read(self, key: str) -> dict[str, Any]:
        try:
            content = json.loads(self._note(key).read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) and content.get('schema') == SCHEMA else {}

    def _is_whole(self, path: Path, key: str) -> bool:
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest() == self._read(key).get('sha256')
        except OSError:
            return False
