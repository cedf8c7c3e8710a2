# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Files that are written in one piece: a reader sees the old one or the new one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_text(path: str | Path, text: str) -> None:
    """Write a text file; its folder is made."""
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file; its folder is made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + '.part')
    with open(temporary, 'wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def write_json(path: str | Path, data: Any, indent: int = 2, allow_nan: bool = False) -> None:
    """Write a JSON file.

    Raises:
        ValueError: on NaN and infinity, which are no JSON.
    """
    write_text(path, json.dumps(data, indent=indent, allow_nan=allow_nan) + '\n')


def check_writable(path: str | Path) -> None:
    """Raise ValueError now where a file could not be written at the end of a long run; its folder is made."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f'{path} cannot be written: {error}') from None
    if path.is_dir():
        raise ValueError(f'{path} is a folder; name a file')
