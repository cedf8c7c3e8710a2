# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Files written by several at once, beside files of the same name, and through links."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
import torch

from mmcascade._system.files import folder_written_whole, read_json, remove_folder, write_text, written_whole
from mmcascade.models.members.weights.saving import save_weights
from tests.support.full_disk import full_after


def test_no_temporary_name_is_followed_and_links_stay_links(tmp_path):
    (tmp_path / 'victim').write_text('precious')
    os.symlink(tmp_path / 'victim', tmp_path / 'c.json.part')
    write_text(tmp_path / 'c.json', 'new')
    assert (tmp_path / 'victim').read_text() == 'precious' and not (tmp_path / 'c.json').is_symlink()
    os.symlink(tmp_path / 'c.json', tmp_path / 'link.json')
    write_text(tmp_path / 'link.json', 'newer')
    assert (tmp_path / 'link.json').is_symlink() and (tmp_path / 'c.json').read_text() == 'newer'


def test_permissions_are_kept(tmp_path):
    file = tmp_path / 'c.json'
    file.write_text('x')
    file.chmod(0o664)
    before = os.umask(0o077)
    try:
        write_text(file, 'y')
        write_text(tmp_path / 'new.json', 'y')
    finally:
        os.umask(before)
    assert (file.stat().st_mode & 0o777, (tmp_path / 'new.json').stat().st_mode & 0o777) == (0o664, 0o600)


def test_two_writers_of_one_file_tear_nothing(tmp_path):
    file, failed = tmp_path / 'shared.json', []

    def write(letter):
        try:
            for _ in range(40):
                write_text(file, letter * 100_000)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in 'ab']
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if file.exists():
            assert file.read_text() in ('a' * 100_000, 'b' * 100_000)
    assert not failed and [entry.name for entry in tmp_path.iterdir()] == ['shared.json']


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), folder_written_whole(tmp_path / 'out') as folder:
        (folder / 'half').write_text('')
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with folder_written_whole(tmp_path / 'out') as folder:
        (folder / 'all').write_text('')
    with pytest.raises(OSError), folder_written_whole(tmp_path / 'out'):
        pass
    assert [entry.name for entry in (tmp_path / 'out').iterdir()] == ['all']
    remove_folder(tmp_path / 'out')
    assert not list(tmp_path.iterdir())


def test_errors_name_what_was_to_be_written_and_no_temporary_file(tmp_path):
    file, folder = tmp_path / 'a.json', tmp_path / 'out'
    file.write_text('old')
    with pytest.raises(OSError) as full, full_after(1000):
        write_text(file, 'x' * 10_000)
    assert full.value.filename == str(file) and file.read_text() == 'old'
    with pytest.raises(OSError) as full, full_after(1000), folder_written_whole(folder) as new:
        (new / 'b.bin').write_bytes(bytes(10_000))
    assert full.value.filename == str(folder)
    folder.mkdir()
    (folder / 'there').write_text('')
    with pytest.raises(OSError, match='not empty') as there, folder_written_whole(folder):
        pass
    assert there.value.filename == str(folder)
    with pytest.raises(FileNotFoundError) as other, written_whole(file) as _:
        (tmp_path / 'elsewhere').read_text()
    assert other.value.filename == str(tmp_path / 'elsewhere')
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ['a.json', 'out']


@pytest.mark.parametrize('size', [100, 40_000])
def test_what_libraries_say_of_a_full_disk_names_the_file(tmp_path, size):
    """numpy counts what it wrote; torch fails once more when it ends its archive."""
    with (
        pytest.raises(OSError, match='a.npy') as full,
        full_after(size),
        written_whole(tmp_path / 'a.npy', 'wb') as out,
    ):
        np.save(out, np.ones(20_000))
    assert full.value.strerror
    with pytest.raises(OSError) as full, full_after(size):
        save_weights({'state_dict': {'w': torch.ones(20_000)}}, tmp_path / 'a.pth')
    assert full.value.filename == str(tmp_path / 'a.pth') and not list(tmp_path.iterdir())


def test_brackets_without_end_are_no_json(tmp_path):
    (tmp_path / 'x.json').write_text('[' * 100_000)
    with pytest.raises(ValueError, match=rf'{tmp_path}/x.json is no JSON of ours: it is nested too deeply'):
        read_json(tmp_path / 'x.json')
    for content in ('{', ''):
        (tmp_path / 'x.json').write_text(content)
        with pytest.raises(ValueError, match=rf'{tmp_path}/x.json is no JSON: '):
            read_json(tmp_path / 'x.json')
