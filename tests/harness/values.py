"""Values of all types, small and large, as the commands that make them.

They are for tests of what carries values about. `VALUES` maps a name to a function of a key that
returns the commands, which Redis 7.0 knows, and which make the same value wherever they are run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from harness.resp import Argument

Command = tuple[Argument, ...]
Maker = Callable[[str], list[Command]]

_RANDOM = random.Random(5)
NOISE = _RANDOM.randbytes(300_000)
LETTERS = bytes(_RANDOM.choice(b"abcd") for _ in range(300_000))
AWKWARD = [b"", b"0", b"-0", b"-1", b"007", b"127", b"128", b"-128", b"-129", b"32767", b"-32769"]
AWKWARD += [b"2147483647", b"2147483648", b"-2147483648", b"-2147483649", b"9223372036854775807"]
AWKWARD += [b"+1", b" 1", b"1.5", b"a" * 20, b"a" * 21, b"ab" * 40, b"\x00\xff\r\n", NOISE[:70]]
SCORES = ["inf", "-inf", "0", "-0", "1", "-1.5", "0.1", "3.141592653589793", "1e300", "5e-324"]
SCORES += ["-1.7976931348623157e308", "9007199254740993", "1000000"]


def _parts(words: list[Argument], count: int = 1000) -> Iterator[list[Argument]]:
    for at in range(0, len(words), count):
        yield words[at : at + count]


def _string(value: Argument) -> Maker:
    return lambda key: [("SET", key, value)]


def _paged(key: str) -> list[Command]:
    """A string that was changed in place: long, with holes."""
    return [
        ("SETRANGE", key, 1_200_000, b"x" * 100),
        ("SETRANGE", key, 3_000_000, LETTERS),
        ("SETRANGE", key, 5000, NOISE[:9000]),
        ("APPEND", key, NOISE[:40_000]),
    ]


def _grown(key: str) -> list[Command]:
    return [("SET", key, NOISE * 5), ("SETRANGE", key, 700_000, b"changed"), ("APPEND", key, "!")]


def _elements(count: int) -> list[Argument]:
    words: list[Argument] = list(AWKWARD)
    words += [f"element:{i}" if i % 3 else i * 1237 for i in range(count)]
    return words


def _list(count: int) -> Maker:
    words = [*_elements(count), LETTERS[:9000], NOISE[:9000]]
    return lambda key: [("RPUSH", key, *part) for part in _parts(words)]


def _set(count: int) -> Maker:
    return lambda key: [("SADD", key, *part) for part in _parts(_elements(count))]


def _integers(count: int) -> Maker:
    words: list[Argument] = [(i - count // 2) * 12345678987 for i in range(count)]
    return lambda key: [("SADD", key, *part) for part in _parts(words)]


def _sorted(count: int) -> Maker:
    words: list[Argument] = []
    for at, element in enumerate(_elements(count)):
        words += [SCORES[at % len(SCORES)] if at < 60 else at / 7, element]
    # Small values have no -0; Redis 7.0 begins with one even where one command makes it large.
    parts = [*_parts(words[:200], 20), *_parts(words[200:])]
    return lambda key: [("ZADD", key, *part) for part in parts]


def _hash(count: int) -> Maker:
    words: list[Argument] = []
    for at, element in enumerate(_elements(count)):
        words += [element, AWKWARD[at % len(AWKWARD)] + (NOISE[:500] if at % 50 == 40 else b"")]
    return lambda key: [("HSET", key, *part) for part in _parts(words)]


def _stream(count: int) -> Maker:
    """Most entries have the same fields; some are deleted."""

    def make(key: str) -> list[Command]:
        commands: list[Command] = []
        for i in range(count):
            names = ["name", "age"] if i % 10 else [f"other{i % 30}", "age", "three"]
            words = [w for name in names for w in (name, AWKWARD[i % len(AWKWARD)])]
            commands.append(("XADD", key, f"{1_700_000_000_000 + i * 977}-{i % 5}", *words))
        commands += [
            ("XDEL", key, f"{1_700_000_000_000 + i * 977}-{i % 5}") for i in range(0, count, 7)
        ]
        return commands

    return make


def _odd_stream(key: str) -> list[Command]:
    """Ids at the ends of their range, fields without a name, large ones."""
    last = 2**64 - 1
    return [
        ("XADD", key, "0-1", "", ""),
        ("XADD", key, "0-9", "f", NOISE[:6000], "g", LETTERS[:70_000]),
        ("XADD", key, "5-0", *(w for i in range(300) for w in (f"field{i}", i))),
        ("XADD", key, f"{last}-{last - 1}", "f", "v"),
        ("XDEL", key, "0-1"),
        ("XTRIM", key, "MAXLEN", 2),
    ]


def _emptied_stream(key: str) -> list[Command]:
    return [("XADD", key, "7-7", "f", "v"), ("XDEL", key, "7-7"), ("XGROUP", "CREATE", key, "g", 0)]


def _grouped_stream(key: str) -> list[Command]:
    """Pending entries of several consumers, of which some are deleted."""
    return [
        *_stream(300)(key),
        ("XGROUP", "CREATE", key, "all", "0"),
        ("XGROUP", "CREATE", key, "none", "$"),
        ("XGROUP", "CREATE", key, b"\x00bin\xff", "1700000000977-1", "ENTRIESREAD", 2),
        ("XGROUP", "CREATECONSUMER", key, "none", "idle"),
        ("XREADGROUP", "GROUP", "all", "one", "COUNT", 100, "STREAMS", key, ">"),
        ("XREADGROUP", "GROUP", "all", "two", "COUNT", 50, "STREAMS", key, ">"),
        ("XREADGROUP", "GROUP", "all", "two", "NOACK", "COUNT", 5, "STREAMS", key, ">"),
        ("XACK", key, "all", "1700000000977-1", "1700000001954-2"),
        ("XCLAIM", key, "all", "two", 0, "1700000002931-3", "RETRYCOUNT", 400),
        ("XDEL", key, "1700000003908-4", "1700000002931-3"),
    ]


VALUES: dict[str, Maker] = {
    **{f"string-{at}": _string(value) for at, value in enumerate(AWKWARD)},
    "string-letters": _string(LETTERS),
    "string-noise": _string(NOISE),
    "string-zeros": _string(bytes(100_000)),
    "string-piece": _string(LETTERS[:65_536]),
    "string-paged": _paged,
    "string-grown": _grown,
    "list-small": _list(3),
    "list-large": _list(4000),
    "set-small": _set(3),
    "set-large": _set(4000),
    "set-integers": _integers(20),
    "set-many-integers": _integers(2000),
    "sorted-small": _sorted(0),
    "sorted-large": _sorted(4000),
    "hash-small": _hash(3),
    "hash-large": _hash(4000),
    "stream-small": _stream(5),
    "stream-large": _stream(2000),
    "stream-odd": _odd_stream,
    "stream-emptied": _emptied_stream,
    "stream-groups": _grouped_stream,
}
