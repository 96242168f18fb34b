"""Redis's dump files and payloads, of every form that a Redis from 2.6 on wrote, made by hand.

What a server of today writes is the smallest part of what it reads. `OLD_VALUES` has a value of
each form, with the commands that make the same value; `dump_file` and `payload` put such values
into a file and into what RESTORE takes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.resp import Argument

_POLYNOMIAL = 0x95AC9329AC4BC9B5  # reflected


def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def crc64(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc


# ---- Lengths and strings -------------------------------------------------------------------------


def length(value: int) -> bytes:
    if value < 64:
        return bytes([value])
    if value < 1 << 14:
        return struct.pack(">H", 0x4000 | value)
    if value < 1 << 32:
        return b"\x80" + struct.pack(">I", value)
    return b"\x81" + struct.pack(">Q", value)


def text(value: bytes) -> bytes:
    return length(len(value)) + value


def number(value: int) -> bytes:
    """A string that is kept as an integer."""
    for mark, form, bits in ((0xC0, "<b", 8), (0xC1, "<h", 16), (0xC2, "<i", 32)):
        if -(1 << bits - 1) <= value < 1 << bits - 1:
            return bytes([mark]) + struct.pack(form, value)
    return text(b"%d" % value)


def compressed(value: bytes, run: int = 200) -> bytes:
    """By LZF: the first byte, which is repeated, and then pieces as they are."""
    packed = bytearray()
    at = 1
    while at < len(value) and value[at] == value[0] and at < run:
        at += 1
    packed += bytes([0, value[0]])
    if at >= 4:
        repeated = at - 1
        packed += (
            bytes([7 << 5, repeated - 9, 0]) if repeated >= 9 else bytes([(repeated - 2) << 5, 0])
        )
    else:
        at = 1
    for start in range(at, len(value), 32):
        piece = value[start : start + 32]
        packed += bytes([len(piece) - 1]) + piece
    return b"\xc3" + length(len(packed)) + length(len(value)) + bytes(packed)


# ---- Packed strings ------------------------------------------------------------------------------

Element = bytes | int


def _ziplist_body(element: Element) -> bytes:
    if isinstance(element, int):
        if 0 <= element <= 12:
            return bytes([0xF1 + element])
        if -128 <= element < 128:
            return b"\xfe" + struct.pack("<b", element)
        if -(1 << 15) <= element < 1 << 15:
            return b"\xc0" + struct.pack("<h", element)
        if -(1 << 23) <= element < 1 << 23:
            return b"\xf0" + struct.pack("<i", element)[:3]
        if -(1 << 31) <= element < 1 << 31:
            return b"\xd0" + struct.pack("<i", element)
        return b"\xe0" + struct.pack("<q", element)
    size = len(element)
    if size < 64:
        return bytes([size]) + element
    if size < 1 << 14:
        return struct.pack(">H", 0x4000 | size) + element
    return b"\x80" + struct.pack(">I", size) + element


def ziplist(elements: Sequence[Element]) -> bytes:
    body, before, tail = b"", 0, 10
    for element in elements:
        tail = 10 + len(body)
        head = bytes([before]) if before < 254 else b"\xfe" + struct.pack("<I", before)
        entry = head + _ziplist_body(element)
        before = len(entry)
        body += entry
    count = min(len(elements), 65535)
    return struct.pack("<IIH", 10 + len(body) + 1, tail, count) + body + b"\xff"


def _listpack_body(element: Element) -> bytes:
    if isinstance(element, int):
        if 0 <= element < 128:
            return bytes([element])
        if -4096 <= element < 4096:
            return struct.pack(">H", 0xC000 | element & 0x1FFF)
        for mark, bits in ((0xF1, 16), (0xF2, 24), (0xF3, 32), (0xF4, 64)):
            if -(1 << bits - 1) <= element < 1 << bits - 1:
                return bytes([mark]) + struct.pack("<q", element)[: bits // 8]
    assert isinstance(element, bytes)
    size = len(element)
    if size < 64:
        return bytes([0x80 | size]) + element
    if size < 4096:
        return struct.pack(">H", 0xE000 | size) + element
    return b"\xf0" + struct.pack("<I", size) + element


def _back_length(size: int) -> bytes:
    sevens = [size & 0x7F]
    while size >> 7 * len(sevens):
        sevens.append(size >> 7 * len(sevens) & 0x7F)
    sevens.reverse()
    return bytes([sevens[0], *(seven | 0x80 for seven in sevens[1:])])


def listpack(elements: Sequence[Element]) -> bytes:
    bodies = (_listpack_body(element) for element in elements)
    body = b"".join(one + _back_length(len(one)) for one in bodies)
    return struct.pack("<IH", 6 + len(body) + 1, min(len(elements), 65535)) + body + b"\xff"


def zipmap(pairs: Iterable[tuple[bytes, bytes]], spare: int = 3) -> bytes:
    def size(value: bytes) -> bytes:
        few = len(value) < 254
        return bytes([len(value)]) if few else b"\xfe" + struct.pack("<I", len(value))

    items = [
        size(name) + name + size(value) + bytes([spare]) + value + b"?" * spare
        for name, value in pairs
    ]
    return bytes([min(len(items), 254)]) + b"".join(items) + b"\xff"


def intset(values: Iterable[int]) -> bytes:
    numbers = sorted(values)
    width = next(
        w for w in (2, 4, 8) if all(-(1 << 8 * w - 1) <= n < 1 << 8 * w - 1 for n in numbers)
    )
    form = {2: "<h", 4: "<i", 8: "<q"}[width]
    packed = b"".join(struct.pack(form, n) for n in numbers)
    return struct.pack("<II", width, len(numbers)) + packed


def _old_score(score: float) -> bytes:
    if score in (float("inf"), float("-inf")):
        return b"\xfe" if score > 0 else b"\xff"
    written = b"%.17g" % score
    return bytes([len(written)]) + written


# ---- Streams -------------------------------------------------------------------------------------


def _stream_node(
    first: tuple[int, int], entries: Sequence[tuple[tuple[int, int], list[bytes], bool]]
) -> bytes:
    """(id, names and values, is it deleted). The names of the first are the node's."""
    names = entries[0][1][::2]
    deleted = sum(gone for _, _, gone in entries)
    words: list[Element] = [len(entries) - deleted, deleted, len(names), *names, 0]
    for (ms, seq), fields, gone in entries:
        same = fields[::2] == names
        words += [gone + 2 * same, ms - first[0], seq - first[1]]
        words += fields[1::2] if same else [len(fields) // 2, *fields]
        words.append(len(names) + 3 if same else len(fields) + 4)
    return text(struct.pack(">QQ", *first)) + text(listpack(words))


def _ids(*pairs: tuple[int, int]) -> bytes:
    return b"".join(length(part) for pair in pairs for part in pair)


def _stream(form: int) -> bytes:
    """Two nodes, a deleted entry, two groups, two consumers with something pending."""
    body = length(2)
    body += _stream_node(
        (100, 1),
        [
            ((100, 1), [b"name", b"a", b"age", b"1"], False),
            ((100, 2), [b"name", b"b", b"age", b"2"], True),
            ((101, 0), [b"other", b"c"], False),
        ],
    )
    body += _stream_node((200, 5), [((200, 5), [b"x", b"y" * 100], False)])
    body += length(3) + _ids((300, 7))
    if form >= 2:
        body += _ids((100, 1), (100, 2)) + length(4)
    body += length(2)
    body += text(b"first") + _ids((101, 0)) + (length(3) if form >= 2 else b"")
    body += length(2)
    for ms, seq, when, count in ((100, 1, 1_600_000_000_000, 1), (101, 0, 1_600_000_000_001, 9)):
        body += struct.pack(">QQ", ms, seq) + struct.pack("<Q", when) + length(count)
    body += length(2)
    for name, ids in ((b"alice", [(101, 0)]), (b"bob", [(100, 1)])):
        body += text(name) + struct.pack("<Q", 1_650_000_000_000)
        body += struct.pack("<Q", 1_640_000_000_000) if form >= 3 else b""
        body += length(len(ids)) + b"".join(struct.pack(">QQ", *one) for one in ids)
    body += text(b"second") + _ids((0, 0)) + (length(2**64 - 1) if form >= 2 else b"")
    return body + length(0) + length(0)


_STREAM_COMMANDS: list[tuple[Argument, ...]] = [
    ("XADD", "KEY", "100-1", "name", "a", "age", "1"),
    ("XADD", "KEY", "100-2", "name", "b", "age", "2"),
    ("XADD", "KEY", "101-0", "other", "c"),
    ("XADD", "KEY", "200-5", "x", "y" * 100),
    ("XDEL", "KEY", "100-2"),
    ("XSETID", "KEY", "300-7"),
    ("XGROUP", "CREATE", "KEY", "first", "101-0", "ENTRIESREAD", "3"),
    ("XGROUP", "CREATE", "KEY", "second", "0-0"),
]


# ---- Values --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OldValue:
    type: int
    body: bytes
    commands: list[tuple[Argument, ...]]  # that make it, with KEY for the key; roughly, of a stream
    since: tuple[int, int] = (2, 6)  # Redis that reads it

    def commands_for(self, key: str) -> list[tuple[Argument, ...]]:
        return [tuple(key if word == "KEY" else word for word in line) for line in self.commands]


_WORDS: list[Element] = [b"one", b"", 0, 12, 13, -1, -128, 127, 128, 300, -4097, 70000, -8388608]
_WORDS += [8388608, 1 << 31, -(1 << 31), 1 << 40, -(1 << 63), (1 << 63) - 1]
_WORDS += [b"w" * 63, b"w" * 64, b"w" * 300, b"w" * 20000, b"last"]
_UNIQUE = _WORDS
_SHORT = [word for word in _WORDS if isinstance(word, int) or len(word) <= 64]
_PAIRS = [(b"name", b"value"), (b"", b"empty"), (b"long", b"v" * 60), (b"f" * 50, b"")]
_LONG_PAIRS = [*_PAIRS, (b"longer", b"v" * 300), (b"g" * 260, b"w")]
_SCORES = [(b"a", 1.0), (b"b", 1.5), (b"c", -3.25), (b"d", float("inf")), (b"e", float("-inf"))]
_SCORES += [(b"f", 1e300), (b"g", 0.1), (b"h", 17.0)]


def _flat(pairs: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    return [word for pair in pairs for word in pair]


def _scored(form: type) -> Iterator[Element]:
    """As packed: in the order of their scores, which are text unless they are integers."""
    for name, score in sorted(_SCORES, key=lambda pair: pair[1]):
        yield name
        whole = score.is_integer() and abs(score) < 1e15
        yield int(score) if whole else (b"%.17g" % score)


_FIELDS = [
    (b"stays", b"1", 0),
    (b"early", b"2", 4_000_000_000_000),
    (b"late", b"", 4_000_000_000_777),
]
_FIELDS += [(b"same", b"v" * 40, 4_000_000_000_000)]
_FIRST = 4_000_000_000_000
_HPEXPIREAT: list[tuple[Argument, ...]] = [
    ("HSET", "KEY", *(word for name, value, _ in _FIELDS for word in (name, value))),
    ("HPEXPIREAT", "KEY", _FIRST, "FIELDS", 2, "early", "same"),
    ("HPEXPIREAT", "KEY", _FIRST + 777, "FIELDS", 1, "late"),
]


def _timed(relative: bool) -> bytes:
    """Deadline, name, value. One more than how far it is behind the first one, or the deadline."""
    behind = 1 - _FIRST if relative else 0
    items = (
        length(at + behind if at else 0) + text(name) + text(value) for name, value, at in _FIELDS
    )
    return length(len(_FIELDS)) + b"".join(items)


def _packed_fields() -> bytes:
    """Those with a deadline come first, in order."""
    ordered = sorted(_FIELDS, key=lambda field: field[2] or 1 << 60)
    return text(listpack([word for field in ordered for word in field]))


_RPUSH = [("RPUSH", "KEY", *_WORDS)]
_SADD = [("SADD", "KEY", *_UNIQUE)]
_HSET = [("HSET", "KEY", *_flat(_PAIRS))]
_ZADD = [("ZADD", "KEY", *(w for name, score in _SCORES for w in (f"{score!r}", name)))]
_INTEGERS = [[3, 1, -2], [100000, -5, 7], [1 << 40, 0, -(1 << 50)]]


def _strings(words: Iterable[Element]) -> bytes:
    return b"".join(number(word) if isinstance(word, int) else text(word) for word in words)


def _with_count(words: Sequence[object], body: bytes) -> bytes:
    return length(len(words)) + body


def _text_words() -> list[bytes]:
    return [word if isinstance(word, bytes) else b"%d" % word for word in _WORDS]


OLD_VALUES: dict[str, OldValue] = {
    "string": OldValue(0, text(b"value"), [("SET", "KEY", "value")]),
    "string-8": OldValue(0, number(-5), [("SET", "KEY", "-5")]),
    "string-16": OldValue(0, number(-5000), [("SET", "KEY", "-5000")]),
    "string-32": OldValue(0, number(1 << 30), [("SET", "KEY", 1 << 30)]),
    "string-lzf": OldValue(
        0, compressed(b"a" * 150 + b"bcd" * 40), [("SET", "KEY", b"a" * 150 + b"bcd" * 40)]
    ),
    "string-lzf-long": OldValue(
        0, compressed(b"z" * 200 + b"12345" * 4000), [("SET", "KEY", b"z" * 200 + b"12345" * 4000)]
    ),
    "string-wide-length": OldValue(0, b"\x80\x00\x00\x00\x05value", [("SET", "KEY", "value")]),
    "list": OldValue(1, _with_count(_WORDS, _strings(_WORDS)), _RPUSH),
    "set": OldValue(2, _with_count(_UNIQUE, _strings(_UNIQUE)), _SADD),
    "zset-text": OldValue(
        3, _with_count(_SCORES, b"".join(text(n) + _old_score(s) for n, s in _SCORES)), _ZADD
    ),
    "hash": OldValue(
        4,
        _with_count(_LONG_PAIRS, b"".join(text(word) for word in _flat(_LONG_PAIRS))),
        [("HSET", "KEY", *_flat(_LONG_PAIRS))],
    ),
    "zset-double": OldValue(
        5, _with_count(_SCORES, b"".join(text(n) + struct.pack("<d", s) for n, s in _SCORES)), _ZADD
    ),
    "hash-zipmap": OldValue(9, text(zipmap(_PAIRS)), _HSET),
    "hash-zipmap-long": OldValue(
        9, text(zipmap(_LONG_PAIRS)), [("HSET", "KEY", *_flat(_LONG_PAIRS))]
    ),
    "hash-zipmap-lzf": OldValue(9, compressed(zipmap(_PAIRS)), _HSET),
    "list-ziplist": OldValue(10, text(ziplist(_WORDS)), _RPUSH),
    **{
        f"set-intset-{at}": OldValue(11, text(intset(numbers)), [("SADD", "KEY", *numbers)])
        for at, numbers in enumerate(_INTEGERS)
    },
    "set-intset-large": OldValue(11, text(intset(range(600))), [("SADD", "KEY", *range(600))]),
    "zset-ziplist": OldValue(12, text(ziplist(list(_scored(bytes)))), _ZADD),
    "hash-ziplist": OldValue(13, text(ziplist(_flat(_PAIRS))), _HSET),
    "list-quicklist": OldValue(
        14, length(2) + text(ziplist(_WORDS[:9])) + text(ziplist(_WORDS[9:])), _RPUSH, (3, 2)
    ),
    "list-quicklist-one": OldValue(
        14, length(1) + text(ziplist([b"a", 2])), [("RPUSH", "KEY", "a", 2)], (3, 2)
    ),
    "stream-1": OldValue(15, _stream(1), _STREAM_COMMANDS, (5, 0)),
    "hash-listpack": OldValue(16, text(listpack(_flat(_PAIRS))), _HSET, (7, 0)),
    "zset-listpack": OldValue(17, text(listpack(list(_scored(bytes)))), _ZADD, (7, 0)),
    "list-quicklist-2": OldValue(
        18,
        length(3)
        + length(2)
        + text(listpack(_WORDS[:9]))
        + length(1)
        + text(b"plain" * 3000)
        + length(2)
        + text(listpack(_WORDS[9:])),
        [("RPUSH", "KEY", *_WORDS[:9], b"plain" * 3000, *_WORDS[9:])],
        (7, 0),
    ),
    "stream-2": OldValue(19, _stream(2), _STREAM_COMMANDS, (7, 0)),
    "set-listpack": OldValue(20, text(listpack(_SHORT)), [("SADD", "KEY", *_SHORT)], (7, 2)),
    "stream-3": OldValue(21, _stream(3), _STREAM_COMMANDS, (7, 2)),
    "hash-fields-early": OldValue(22, _timed(relative=False), _HPEXPIREAT, (7, 4)),
    "hash-listpack-fields-early": OldValue(23, _packed_fields(), _HPEXPIREAT, (7, 4)),
    "hash-fields": OldValue(
        24, struct.pack("<Q", _FIRST) + _timed(relative=True), _HPEXPIREAT, (7, 4)
    ),
    "hash-listpack-fields": OldValue(
        25, struct.pack("<Q", _FIRST) + _packed_fields(), _HPEXPIREAT, (7, 4)
    ),
}


def footer(body: bytes, version: int) -> bytes:
    body += struct.pack("<H", version)
    return body + struct.pack("<Q", crc64(body))


def payload(value: OldValue, version: int = 10) -> bytes:
    """What RESTORE takes."""
    return footer(bytes([value.type]) + value.body, version)


def dump_file(items: Iterable[tuple[bytes, OldValue]], version: int, before: bytes = b"") -> bytes:
    """A whole file; `before` stands in front of the keys."""
    body = b"REDIS%04d" % version + before
    for key, value in items:
        body += bytes([value.type]) + text(key) + value.body
    body += b"\xff"
    return body + struct.pack("<Q", crc64(body)) if version >= 5 else body
