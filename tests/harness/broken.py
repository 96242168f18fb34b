"""A proxy in front of a server that breaks one of its promises: what the tests must find.

Every client has a connection to the server, and a second one for what a defect takes out of the
order. The proxy knows requests and replies only as far as it must.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

from harness.client import Connection
from harness.process import Server
from harness.resp import encode

BLOCKING = {b"BLPOP", b"BRPOP", b"BLMOVE"}
QUEUED = b"+QUEUED\r\n"
OK = b"+OK\r\n"
A_MOMENT_S = 0.0003
EVERY = 2

Request = list[bytes]


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    line = await reader.readline()
    if not line:
        return None
    words = []
    for _ in range(int(line[1:])):
        size = int((await reader.readline())[1:])
        words.append((await reader.readexactly(size + 2))[:-2])
    return words


async def read_reply(reader: asyncio.StreamReader) -> bytes:
    line = await reader.readline()
    mark, rest = line[:1], line[1:]
    if mark in b"$=" and int(rest) >= 0:
        return line + await reader.readexactly(int(rest) + 2)
    if mark in b"*%~>" and int(rest) >= 0:
        parts = [await read_reply(reader) for _ in range(int(rest) * (2 if mark == b"%" else 1))]
        return line + b"".join(parts)
    return line


class Link:
    """A connection to the server."""

    async def open(self, port: int) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)

    async def ask(self, request: Request) -> bytes:
        self.writer.write(encode(*request))
        return await read_reply(self.reader)


class Client:
    """What the proxy keeps of one client. `answer` is a reply, or one that will come."""

    def __init__(self, defect: str) -> None:
        self.defect = defect
        self.main, self.side = Link(), Link()
        self.queue: list[Request] | None = None
        self.waiting: asyncio.Future[bytes] | None = None
        self.pops = 0

    async def answer(self, request: Request) -> bytes | Awaitable[bytes]:
        name = request[0].upper()
        if self.defect == "steps" and (name == b"MULTI" or self.queue is not None):
            return await self._in_steps(name, request)
        if self.defect == "forgets" and name == b"WATCH":
            return OK
        if self.defect == "overtaken" and name in BLOCKING and self.queue is None:
            if self.waiting is not None:
                await self.waiting
            self.waiting = asyncio.ensure_future(self.side.ask(request))
            await asyncio.sleep(A_MOMENT_S)
            return self.waiting
        reply = await self.main.ask(request)
        self._note_transaction(name)
        if self.defect == "twice" and name in (b"LPOP", b"BLPOP") and self.queue is None:
            await self._give_back(request, reply)
        return reply

    def _note_transaction(self, name: bytes) -> None:
        if name in (b"MULTI", b"EXEC"):
            self.queue = [] if name == b"MULTI" else None

    async def _in_steps(self, name: bytes, request: Request) -> bytes:
        if name == b"MULTI":
            self.queue = []
            return OK
        if name != b"EXEC":
            self.queue.append(request)
            return QUEUED
        parts, self.queue = self.queue, None
        replies = []
        for part in parts:
            replies.append(b"*-1\r\n" if part[0] in BLOCKING else await self.main.ask(part))
            await asyncio.sleep(A_MOMENT_S)
        return b"*%d\r\n" % len(replies) + b"".join(replies)

    async def _give_back(self, request: Request, reply: bytes) -> None:
        """Every few elements popped are put back, as if nobody had got them."""
        lines = reply.split(b"\r\n")
        if lines[0] in (b"$-1", b"*-1") or reply[:1] == b"-":
            return
        self.pops += 1
        if self.pops % EVERY == 0:
            key = lines[2] if lines[0] == b"*2" else request[1]
            await self.main.ask([b"LPUSH", key, lines[-2]])


class Broken:
    """A place for histories whose connections go through the proxy."""

    is_redis = True

    def __init__(self, server: Server, defect: str) -> None:
        self._server, self._defect = server, defect
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._started.wait(10)

    def connect(self) -> Connection:
        return Connection(("127.0.0.1", self._port))

    def control(self) -> Connection:
        return self._server.control()

    def spread(self, count: int) -> list[str]:
        return self._server.spread(count)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        proxy = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self._port = proxy.sockets[0].getsockname()[1]
        self._started.set()
        await self._end.wait()
        proxy.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(self._defect)
        replies: asyncio.Queue[bytes | Awaitable[bytes]] = asyncio.Queue()
        pump = asyncio.ensure_future(_pump(replies, writer.write))
        try:
            for link in (client.main, client.side):
                await link.open(self._server.port)
            while (request := await read_request(reader)) is not None:
                replies.put_nowait(await client.answer(request))
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            pump.cancel()
            for link in (client.main, client.side):
                link.writer.close()
            writer.close()


async def _pump(
    replies: asyncio.Queue[bytes | Awaitable[bytes]], write: Callable[[bytes], None]
) -> None:
    """Replies leave in the order of the requests."""
    while True:
        reply = await replies.get()
        write(reply if isinstance(reply, bytes) else await reply)
