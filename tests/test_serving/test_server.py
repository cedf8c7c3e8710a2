# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Where the server listens, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import re
import socket

import pytest
import uvicorn

from mmcascade.serving.server import _Server, listen, serve
from mmcascade.serving.settings import ServeSettings


def test_it_listens_where_it_is_told():
    with listen('127.0.0.1', 0) as first:
        host, port = first.getsockname()
        assert host == '127.0.0.1'
        first.listen()
        with pytest.raises(
            OSError, match=rf'cannot listen on 127.0.0.1:{port} \(Address already in use\); name another'
        ):
            listen('127.0.0.1', port)
    with listen('127.0.0.1', port) as again:
        assert again.getsockname()[1] == port


def test_the_body_of_an_answer_does_not_wait_until_its_head_is_acknowledged():
    async def run():
        found = []

        class Answers(asyncio.Protocol):
            def connection_made(self, transport):
                found.append(transport.get_extra_info('socket').getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()

        with listen('127.0.0.1', 0) as bound:
            server = await asyncio.get_running_loop().create_server(Answers, sock=bound)
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            await reader.read()
            writer.close()
            server.close()
        return found

    (no_delay,) = asyncio.run(run())
    assert no_delay


@pytest.mark.parametrize(
    ('host', 'port', 'words'),
    [
        ('192.0.2.1', 0, 'cannot listen on 192.0.2.1:0 ('),
        ('no such host', 80, 'cannot listen on no such host:80 ('),
        ('127.0.0.1', 70000, 'a port is a number from 1 to 65535, got 70000'),
    ],
)
def test_what_is_no_address_of_this_machine_is_named_before_a_bundle_is_read(tmp_path, host, port, words):
    with pytest.raises(OSError, match=re.escape(words)):
        serve({'main': tmp_path / 'nowhere'}, host, port)


def test_it_is_up_when_it_is_reached():
    found = []

    async def run():
        async def app(scope, receive, send):
            raise AssertionError('nobody asks')

        with listen('127.0.0.1', 0) as bound:

            def up():
                found.append(asyncio.ensure_future(asyncio.open_connection(*bound.getsockname())))

            server = _Server(uvicorn.Config(app, lifespan='off', log_level='error'), up)
            task = asyncio.ensure_future(server.serve([bound]))
            while not found:
                await asyncio.sleep(0.01)
            _, writer = await found[0]
            writer.close()
            server.should_exit = True
            await task

    asyncio.run(run())
    assert len(found) == 1


@pytest.mark.parametrize(
    ('wrong', 'words'),
    [
        ({'wait_ms': -1.0}, 'wait_ms is a number of milliseconds from 0, got -1.0'),
        ({'wait_ms': float('nan')}, 'wait_ms .* got nan'),
        ({'deadline_s': 0.0}, 'deadline_s is a number of seconds above 0, got 0.0'),
        ({'receive_s': float('nan')}, 'receive_s .* got nan'),
        ({'max_batch': 0}, 'max_batch is a whole number from 1, got 0'),
    ],
)
def test_every_wrong_bound_is_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        ServeSettings(**wrong)
