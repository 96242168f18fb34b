"""A program that embeds a server and writes to it, for tests that kill it.

It takes kevyrt-server's options. Whenever a file `go-<name>` appears in its folder it starts the
writers that the file asks for, each a session in a thread of its own. What they began and what was
answered stands in the files `calls-<name>-<client>`, a line each, written before the next thing is
done, so that a kill takes at most the end of the last line.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from harness.crash_check import Event
from harness.crash_ops import Op, Ops
from harness.embedded import execute
from harness.linearize import NO_ANSWER
from harness.model import AnError

POLL_S = 0.002


def start_writers(folder: Path, name: str, seed: str, count: int) -> None:
    """Asks the program in `folder` to write until it is killed."""
    path = folder / f"go-{name}"
    half = path.with_name(f"half-{name}")
    half.write_text(json.dumps({"seed": seed, "count": count}))
    half.rename(path)


def stop_writers(folder: Path, name: str) -> None:
    """So that the next start does not begin them again."""
    (folder / f"go-{name}").unlink(missing_ok=True)


def events_of(folder: Path, name: str, seed: str) -> Iterator[Event]:
    """What the writers have noted."""
    for path in folder.glob(f"calls-{name}-*"):
        client = path.name.rpartition("-")[2]
        lines = path.read_text().split("\n")[:-1]  # a kill may cut the last one short
        begins, ends = lines[::2], lines[1::2]
        ops = iter(Ops(name, client, seed))
        for number, line in enumerate(begins):
            invoked, returned, answer = literal_eval(line), float("inf"), NO_ANSWER
            if number < len(ends):
                returned, answer = literal_eval(ends[number])
                answer = AnError if answer is ... else answer
            yield Event(client, number, next(ops), invoked, returned, answer)
        path.unlink()


# ---- The program ---------------------------------------------------------------------------------


def _call(server: Any, session: Any, op: Op) -> Any:
    if len(op.commands) == 1:
        command = op.commands[0]
        if command[0] == "SET" and len(command) == 3:
            return server.set(*command[1:])  # has a shorter way than commands have
        return execute(session, command)
    for command in (("MULTI",), *op.commands):
        execute(session, command)
    return execute(session, ("EXEC",))


def _write(server: Any, name: str, client: str, seed: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    notes = os.open(f"calls-{name}-{client}", flags, 0o600)
    with server.session() as session:
        for op in Ops(name, client, seed):
            os.write(notes, b"%r\n" % time.monotonic())
            answer = _call(server, session, op)
            answer = ... if answer is AnError else answer
            os.write(notes, b"%r\n" % ((time.monotonic(), answer),))


def _start(server: Any, path: Path) -> None:
    wanted = json.loads(path.read_text())
    name = path.name.removeprefix("go-")
    for i in range(wanted["count"]):
        arguments = (server, name, f"session{i}", wanted["seed"])
        threading.Thread(target=_write, args=arguments, daemon=True).start()


def main(words: list[str]) -> None:
    from kevyrt import Server

    settings = {
        option.removeprefix("--").replace("-", "_"): value
        for option, value in zip(words[::2], words[1::2], strict=True)
    }
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    known: set[Path] = set()
    with Server(
        port=int(settings.pop("port")), threads=int(settings.pop("threads")), **settings
    ) as server:
        while not ended.wait(POLL_S):
            for path in set(Path().glob("go-*")) - known:
                known.add(path)
                _start(server, path)


if __name__ == "__main__":
    main(sys.argv[1:])
