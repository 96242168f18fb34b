"""Examples of every command that writes, from the tables of effects of the C units.

An example is what is given, and a line. Lines are in the units' words: `2> SET k v` runs in
database 2, `%5000` and `&5000` are so many bytes, `~50` lets 50 ms pass, and the clock stands at
1000 seconds. Here each example has `DATABASES_EACH` databases to itself, and deadlines are as far
from the real clock. What the units cannot have, since it needs a server, stands here; `@k` is what
DUMP has said of a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.definitions import parse_definitions
from harness.resp import Argument

UNITS = Path(__file__).resolve().parents[1] / "c" / "cmd"
DATABASES_EACH = 4
CLOCK_S = 1000
# They leave nothing of what others have; tests play them alone.
SWEEPING = {"FLUSHALL"}
BESIDE = [
    ("SET k v; DUMP k", "RESTORE j 0 @k"),
    ("RPUSH k a b %5000; SET j v", "RESTORE j 100000 @k REPLACE"),
    ("XADD k 1-1 a 1; XGROUP CREATE k g 0; XREADGROUP GROUP g c STREAMS k >", "RESTORE j 0 @k"),
    ("HSET k a 1 b %2000", "RESTORE j 9999999000 @k ABSTTL"),
    ("ZADD k 1 a 2 b", "RESTORE-ASKING j 0 @k"),
]
# Nothing is there to give or to take without another server, or without scripts.
ELSEWHERE = {"MIGRATE"}


@dataclass(frozen=True)
class Example:
    given: tuple[str, ...]
    line: str

    @property
    def words(self) -> list[str]:
        return re.sub(r"^\d> ", "", self.line).split()

    @property
    def phases(self) -> list[list[str]]:
        """The lines between which time passes, the line itself last."""
        parts: list[list[str]] = [[]]
        for line in (*self.given, self.line):
            if line.startswith("~"):
                parts.append([])
            else:
                parts[-1].append(line)
        return parts

    def __str__(self) -> str:
        return "; ".join((*self.given, self.line))


def _rows(text: str) -> Iterator[tuple[str, str]]:
    """The first two strings of each row of a table in C."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    for match in re.finditer(r'\{"((?:[^"\\]|\\.)*)",\s*"((?:[^"\\]|\\.)*)"', text):
        yield match[1], match[2]


def examples() -> list[Example]:
    text = (UNITS / "test_effects.c").read_text()
    table = re.search(r"effect_case writes\[\] = \{(.*?)\n\};", text, re.DOTALL)
    assert table is not None
    rows = [*_rows(table[1]), *_rows((UNITS / "element_writes.def").read_text()), *BESIDE]
    assert len(rows) > 200
    return [Example(tuple(filter(None, given.split("; "))), line) for given, line in rows]


EXAMPLES = [e for e in examples() if e.words[0] not in SWEEPING]
DATABASES = (len(EXAMPLES) + 1) * DATABASES_EACH


def name_of(words: list[str]) -> str:
    """The row of the command table that a line is of."""
    two = " ".join(words[:2]).upper()
    return two if two in _NAMES else words[0].upper()


_ROWS = list(parse_definitions())
_NAMES = {row.name for row in _ROWS}
WRITES = {row.name for row in _ROWS if "WRITE" in row.flags}


def database_of(base: int, line: str) -> int:
    match = re.match(r"(\d)> ", line)
    return base + (int(match[1]) if match else 0)


def command_of(base: int, line: str, now_ms: int, dumps: dict[str, bytes]) -> list[Argument]:
    """A line as a command whose first database is `base`."""
    words: list[Argument] = list(re.sub(r"^\d> ", "", line).split())
    name = str(words[0]).upper()
    for at, word in enumerate(list(words)):
        text = str(word)
        if re.fullmatch(r"[%&]\d+", text):
            words[at] = b"x" * int(text[1:])
        elif text.startswith("@"):
            words[at] = dumps[text[1:]]
        elif text.upper() in ("EXAT", "PXAT") and at + 1 < len(words):
            words[at + 1] = _moment(words[at + 1], 1 if text.upper() == "EXAT" else 1000, now_ms)
        elif text.upper() == "DB" and name == "COPY":
            words[at + 1] = base + int(str(words[at + 1]))
    if name in ("EXPIREAT", "HEXPIREAT", "PEXPIREAT", "HPEXPIREAT"):
        words[2] = _moment(words[2], 1000 if "PEXPIRE" in name else 1, now_ms)
    elif name == "RESTORE" and words[-1] == "ABSTTL":
        words[2] = now_ms + int(str(words[2]))
    elif name == "MOVE":
        words[2] = base + int(str(words[2]))
    elif name == "SWAPDB":
        words[1:] = [base + int(str(word)) for word in words[1:]]
    return words


def _moment(text: Argument, per_second: int, now_ms: int) -> int:
    """As far from now as it is from the units' clock."""
    return int(str(text)) - CLOCK_S * per_second + now_ms * per_second // 1000
