# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What torch's reader does not look at in the zip archive that a checkpoint is."""

from __future__ import annotations

import zipfile
from pathlib import Path

_ZIP = b'PK\x03\x04'


def archive_fault(path: Path) -> str | None:
    """Why a file of ``torch.save`` is not what was written, or None; files of the older format have no checksum.

    ``torch.load`` compares no checksum, so one changed bit would be another weight, and it unpacks compressed
    entries, a thousand times their size, which ``torch.save`` never writes.
    """
    with path.open('rb') as file:
        if file.read(len(_ZIP)) != _ZIP:
            return None
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                return 'its entries are compressed, as those of TorchScript and of other programs are'
            if sum(entry.file_size for entry in entries) > path.stat().st_size:
                return 'its entries say that they are larger than the file'
            changed = archive.testzip()
    except Exception as error:  # damaged bytes can fail anywhere inside the reader
        return f'{type(error).__name__}: {error}'
    return None if changed is None else f"the checksum of its entry '{changed}' is another"
