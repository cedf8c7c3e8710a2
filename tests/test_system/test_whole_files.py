# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Files written by several at once, beside files of the same name, and through links."""

from __future__ import annotations

import os
import threading

import pytest

from mmcascade._system.files import folder_written_whole, read_json, remove_folder, write_text


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


def test_brackets_without_end_are_no_json(tmp_path):
    (tmp_path / 'x.json').write_text('[' * 100_000)
    with pytest.raises(ValueError, match='nested too deeply'):
        read_json(tmp_path / 'x.json')
