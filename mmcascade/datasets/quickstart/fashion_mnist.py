# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The files of Fashion-MNIST (Xiao et al. 2017), as MMPretrain's ``FashionMNIST`` reads them."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import socket
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mmcascade._system.files import write_bytes
from mmcascade._system.repositories import SourceError

# Of the unpacked files, since every source packs them in its own way.
SHA256 = {
    'train-images-idx3-ubyte': 'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888',
    'train-labels-idx1-ubyte': 'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9',
    't10k-images-idx3-ubyte': '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b',
    't10k-labels-idx1-ubyte': '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34',
}
HOME_PAGE = 'https://github.com/zalandoresearch/fashion-mnist'
DEBIAN_PACKAGE = 'dataset-fashion-mnist'
DEBIAN_FOLDER = Path('usr/share/datasets/fashion-mnist')
SECONDS_OF_SILENCE = 30


def fetch_fashion_mnist(out_dir: Path, source: Path | None = None, log: Callable[[str], None] = print) -> None:
    """Put the four unpacked files into ``out_dir``; what is there and intact is kept.

    Tried in turn: the files (``.gz`` or unpacked) in ``out_dir`` itself, the installed Debian
    package, the Debian package fetched and unpacked without root, MMPretrain's download. A file
    appears under its name only when it is complete and verified.

    Args:
        out_dir: ``data_root`` of MMPretrain's ``FashionMNIST``; made if needed.
        source: A folder with the files; nothing else is tried then.
        log: Takes lines that say what is being tried, and what failed.

    Raises:
        SourceError: If no source has the files; says what each of them lacked.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    folder = source or out_dir
    sources: dict[str, Callable[[Path], Path]] = {f'the folder {folder}': lambda _: folder}
    if source is None:
        sources |= {
            f'the installed package {DEBIAN_PACKAGE}': lambda _: '/' / DEBIAN_FOLDER,
            f"Debian's package {DEBIAN_PACKAGE} (31 MB)": debian_package,
            "MMPretrain's download (31 MB)": mmpretrain_download,
        }
    missing = [name for name, sha256 in SHA256.items() if not _is_intact(out_dir / name, sha256)]
    failures = []
    for description, find in sources.items() if missing else ():
        log(f'Fashion-MNIST: trying {description}')
        with TemporaryDirectory(prefix='.fetching-', dir=out_dir) as scratch:
            try:
                found = find(Path(scratch))
                for name in missing:
                    write_bytes(out_dir / name, _content(found / name, SHA256[name]))
                return
            except (SourceError, OSError) as error:
                failures.append(f'  {description}: {error}')
                log(f'  {error}')
    if failures:
        raise SourceError(
            'no source has the files of Fashion-MNIST:\n' + '\n'.join(failures) + f'\nGet them '
            f'from {HOME_PAGE} and put them into {folder}: {", ".join(SHA256)}, each with or '
            'without .gz'
        )


def debian_package(scratch: Path) -> Path:
    """Fetch the Debian package with apt and unpack it under ``scratch``; needs no root."""
    for program in ('apt-get', 'dpkg'):
        if shutil.which(program) is None:
            raise SourceError(f'there is no {program} on this machine')
    apt = ['apt-get', '-q', '-o', f'Acquire::http::Timeout={SECONDS_OF_SILENCE}', '-o', 'Acquire::Retries=1']
    try:
        _run([*apt, 'download', DEBIAN_PACKAGE], scratch)
    except SourceError:
        # Container images come without package lists. Lists of our own need no root either.
        lists, cache = scratch.resolve() / 'lists', scratch.resolve() / 'cache'
        (lists / 'partial').mkdir(parents=True)
        (cache / 'archives' / 'partial').mkdir(parents=True)
        apt += ['-o', f'Dir::State::lists={lists}', '-o', f'Dir::Cache={cache}']
        _run([*apt, 'update'], scratch)
        _run([*apt, 'download', DEBIAN_PACKAGE], scratch)
    for package in scratch.glob('*.deb'):
        _run(['dpkg', '-x', package.name, 'package'], scratch)
    return scratch / 'package' / DEBIAN_FOLDER


def mmpretrain_download(scratch: Path) -> Path:
    """Let MMPretrain's ``FashionMNIST`` download its files to ``scratch``."""
    from mmpretrain.datasets import FashionMNIST

    try:
        with _socket_timeout(SECONDS_OF_SILENCE):
            FashionMNIST(data_root=str(scratch), split='train', download=True)
    except (AssertionError, RuntimeError) as error:
        raise SourceError(str(error)) from error
    return scratch


def _is_intact(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _content(path: Path, sha256: str) -> bytes:
    packed = path.with_name(f'{path.name}.gz')
    if packed.is_file():
        try:
            path, content = packed, gzip.decompress(packed.read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f'{packed} is damaged: {error}') from error
    elif path.is_file():
        content = path.read_bytes()
    else:
        raise SourceError(f'there is no {packed}')
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SourceError(
            f'{path} is not that of Fashion-MNIST: its {len(content)} bytes, unpacked, have another SHA-256'
        )
    return content


def _run(command: list[str], folder: Path) -> None:
    # Commands are ours, and what varies in them are paths and names of packages, as arguments of their own.
    done = subprocess.run(  # noqa: S603
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.splitlines()
        errors = [line for line in lines if line.startswith('E:')] or lines
        reason = ' '.join(errors[:2]) or f'exit status {done.returncode}'
        raise SourceError(f'{command[0]} failed: {reason}')


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
