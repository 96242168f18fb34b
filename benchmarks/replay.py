"""Plays prepared commands over many connections (tools/replay.c); which commands there are."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import ServerProcess, Subject, Unavailable, WrongData, pinned, tool
from resp import ReplyError, Wire

PIPELINE = 64
TIME_OUT_S = 120


def batches(commands: Sequence[Sequence[bytes]]) -> bytes:
    """The file of tools/replay.c: the encoded commands of each connection in pipelines."""
    queues = [
        [lines[at : at + PIPELINE] for at in range(0, len(lines), PIPELINE)] for lines in commands
    ]
    longest = max(map(len, queues))
    turns = [queue[at] if at < len(queue) else [] for at in range(longest) for queue in queues]
    payloads = [b"".join(lines) for lines in turns]
    head = struct.pack("=II", len(commands), len(turns))
    sizes = [struct.pack("=II", len(p), len(t)) for p, t in zip(payloads, turns, strict=True)]
    return b"".join([head, *sizes, *payloads])


def _has(wire: Wire, name: str) -> bool:
    """A command that is there complains of the number of its arguments."""
    try:
        wire.call(name)
    except ReplyError as error:
        return "unknown command" not in str(error)
    return True


def lacking(servers: dict[Subject, ServerProcess], names: Iterable[str]) -> dict[str, str]:
    """Commands that one of the servers does not have, with that one's name."""
    found = {}
    for subject, server in servers.items():
        with server.connect() as wire:
            found |= {name: subject.name for name in names if not _has(wire, name)}
    return found


def require_commands(servers: dict[Subject, ServerProcess], *names: str) -> None:
    if lacks := lacking(servers, names):
        raise Unavailable(", ".join(f"{subject} lacks {name}" for name, subject in lacks.items()))


@dataclass
class Played:
    said: str
    cpu_ns: int  # the server's, without what connecting takes


def play(server: ServerProcess, name: str, *arguments: object, cores: Sequence[int]) -> Played:
    """Runs a tool that says when it is ready, and begins when it is told to."""
    command = pinned([str(tool(name)), str(server.port), *map(str, arguments)], cores)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            process.stdout.readline()
            before_ns = server.cpu_ns()
            said, complaint = process.communicate("\n", timeout=TIME_OUT_S)
            spent_ns = server.cpu_ns() - before_ns
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise WrongData(f"{server.subject.name}: {name}: {complaint.strip()}")
    return Played(said, spent_ns)


@dataclass
class Replay:
    reply_bytes: int
    cpu_ns: int


def replay(server: ServerProcess, file: Path, count: int, cores: Sequence[int]) -> Replay:
    """Plays a file. Each reply is there, and none is an error."""
    played = play(server, "replay", file, cores=cores)
    replies, errors, size = map(int, played.said.split())
    if replies != count or errors:
        raise WrongData(f"{server.subject.name}: {replies} replies, {errors} errors, of {count}")
    return Replay(size, played.cpu_ns)
