"""Reads the append-only files of a server while it runs: the manifest, and the commands of the
incremental logs, of ours and of redis-server.

Lines that begin with `#` between commands are annotations; one of ours stands in front of every
chunk. What is written ahead at the end of a log consists of such lines as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = "appendonlydir"
NAME = "appendonly.aof"

Words = tuple[bytes, ...]


@dataclass(frozen=True)
class Effect:
    """A command of the log. Those of one transaction, or of one chunk, have the same number."""

    db: int
    words: Words
    transaction: int | None
    chunk: int


def manifest(folder: Path) -> list[tuple[str, int, str]]:
    """Name, sequence number and type (b, i or h) of every file."""
    found = []
    for line in (folder / FOLDER / f"{NAME}.manifest").read_text().splitlines():
        words = line.split()
        fields = dict(zip(words[::2], words[1::2], strict=True))
        found.append((fields["file"], int(fields["seq"]), fields["type"]))
    return found


def effects(folder: Path) -> list[Effect]:
    """What the incremental logs say, in order, up to the last whole command."""
    found: list[Effect] = []
    for name, _, kind in manifest(folder):
        if kind == "i":
            found += _effects_of((folder / FOLDER / name).read_bytes(), len(found))
    return found


def _effects_of(data: bytes, chunk: int) -> Iterator[Effect]:
    db, transaction, transactions, at = 0, None, 0, 0
    while at < len(data):
        if data[at : at + 1] == b"#":
            end = data.find(b"\n", at)
            if end < 0:
                return
            chunk += 1
            at = end + 1
            continue
        command = _command(data, at)
        if command is None:
            return
        words, at = command
        name = words[0].upper()
        if name == b"SELECT":
            db = int(words[1])
        elif name == b"MULTI":
            transactions += 1
            transaction = transactions
        elif name == b"EXEC":
            transaction = None
        else:
            yield Effect(db, words, transaction, chunk)


def _command(data: bytes, at: int) -> tuple[Words, int] | None:
    count, at = _number(data, at, b"*")
    words = []
    for _ in range(count):
        if at < 0:
            return None
        length, at = _number(data, at, b"$")
        if at < 0 or len(data) < at + length + 2:
            return None
        words.append(data[at : at + length])
        at += length + 2
    return (tuple(words), at) if at >= 0 else None


def _number(data: bytes, at: int, mark: bytes) -> tuple[int, int]:
    """The number and where it ends; -1 if it is not all there."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return 0, -1
    assert data[at : at + 1] == mark, (at, data[at : at + 40])
    return int(data[at + 1 : end]), end + 2


class Tail:
    """What is added to the log from here on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen = len(effects(folder))

    def new(self) -> list[Effect]:
        return effects(self.folder)[self._seen :]

    def words(self) -> list[Words]:
        return [effect.words for effect in self.new()]
