"""Bits of strings: SETBIT, GETBIT, BITCOUNT, BITPOS and BITOP, at the borders of bytes, words and
strings."""

from __future__ import annotations

import random

import pytest
from harness.cases import Case, Do, Key, Pipe, Sleep, case, in_both_protocols, mask_remaining
from harness.compare import Oracle
from harness.process import Server

SECONDS = mask_remaining(1000)
OFFSETS = ["0", "1", "7", "8", "63", "64", "100", "4095", "4096"]
NO_OFFSETS = ["-1", "x", "''", "1.5", "4294967296", "9223372036854775807", "9223372036854775808"]
NO_BITS = ["2", "-1", "x", "''", "4294967297", "9223372036854775808"]
INDEXES = ["0", "1", "2", "3", "7", "8", "17", "-1", "-2", "-9", "-20", "-100", "100"]
LIMITS = ["9223372036854775807", "-9223372036854775808"]
UNITS = ["", "BYTE", "bit"]
OPERATIONS = ["AND", "or", "Xor"]
LENGTHS = [0, 1, 7, 8, 31, 32, 33, 100, 511, 513, 4095, 4096, 4097, 9000]


def _bits() -> list[Case]:
    return [
        *in_both_protocols(
            "setbit",
            *(step for at in OFFSETS for step in (f"SETBIT $0 {at} 1", f"SETBIT $0 {at} 1")),
            *(f"GETBIT $0 {at}" for at in [*OFFSETS, "2", "65", "4097", "5000", "4294967295"]),
            "STRLEN $0",
            "SETBIT $0 7 0",
            "SETBIT $0 7 0",
            "SETBIT $0 5000 0",
            "GET $0",
            "SETBIT $1 0 0",
            "GET $1",
            "GETBIT $2 0",
            "EXISTS $2",
        ),
        case(
            "setbit-arguments",
            *(f"SETBIT $0 {at} 1" for at in NO_OFFSETS),
            *(f"GETBIT $0 {at}" for at in NO_OFFSETS),
            *(f"SETBIT $0 1 {bit}" for bit in NO_BITS),
            "SETBIT $0 x 2",
            ("SETBIT", Key(0), f"#{1}", "1"),
            "SETBIT $0 1",
            "SETBIT $0 1 1 1",
            "GETBIT $0",
            "GETBIT $0 1 1",
            "EXISTS $0",
        ),
        case(
            "setbit-grows",
            *(
                step
                for at in (3000, 3900, 4100, 9000, 40000, 90000)
                for step in (f"SETBIT $0 {at} 1", "STRLEN $0", "BITCOUNT $0")
            ),
            "GET $0",
            "GETBIT $0 89999",
            "SETBIT $0 90001 1",
            "GET $0",
        ),
        # A reply that is on its way keeps what it refers to.
        case(
            "setbit-behind-get",
            ("SET", Key(0), b"\0" * 100_000),
            Pipe([*["GET $0", "SETBIT $0 799999 1"] * 3, "SETBIT $0 0 1", "GET $0"]),
        ),
        case(
            "setbit-of-numbers",
            "SET $0 12345",
            "GETBIT $0 2",
            "GETBIT $0 40",
            "BITCOUNT $0",
            "BITPOS $0 0",
            "OBJECT ENCODING $0",
            "SETBIT $0 2 1",
            "OBJECT ENCODING $0",
            "SETBIT $0 15 1",
            "GET $0",
            "OBJECT ENCODING $0",
            "INCR $0",
            "SETBIT $1 2 1",
            "OBJECT ENCODING $1",
        ),
        case(
            "setbit-keeps-deadline",
            "SET $0 a EX 100",
            "SETBIT $0 1000 1",
            Do("TTL $0", mask=SECONDS),
        ),
        case("setbit-expired", "SET $0 abc PX 1", Sleep(0.01), "SETBIT $0 1 1", "GET $0", "TTL $0"),
        case(
            "setbit-limit",
            "CONFIG SET proto-max-bulk-len 1048576",
            "SETBIT $0 8388607 1",
            "SETBIT $0 8388608 1",
            "GETBIT $0 8388607",
            "GETBIT $0 8388608",
            "STRLEN $0",
            "BITPOS $0 1",
            "CONFIG SET proto-max-bulk-len 536870912",
        ),
    ]


def _wrong_types() -> list[Case]:
    return [
        case(
            "bits-of-other-types",
            "RPUSH $0 a",
            "SETBIT $0 1 1",
            "SETBIT $0 x 1",
            "SETBIT $0 1 x",
            "GETBIT $0 1",
            "GETBIT $0 x",
            "BITCOUNT $0",
            "BITCOUNT $0 0 1",
            "BITPOS $0 1",
            "BITPOS $0 2",
            "BITPOS $0 1 0 1 BIT",
            "BITOP NOT $1 $0",
            "SET $2 abc",
            "BITOP AND $1 $2 $0 $3",
            "BITOP AND $1 $2 $3 $0",
            "EXISTS $1",
            "BITOP OR $0 $2",
            "GET $0",
        )
    ]


def _ranges(command: str, key: str) -> list[str]:
    ranges = [(start, end) for start in INDEXES for end in INDEXES]
    ranges += [(start, end) for start in LIMITS for end in [*LIMITS, "1"]]
    return [f"{command.replace('*', key)} {a} {b} {unit}" for a, b in ranges for unit in UNITS]


def _counts() -> list[Case]:
    values = [b"\xf0\x0f\x00\xff\x01", b"\0" * 11, b"\xff" * 11, bytes(range(256)), b""]
    return [
        *(
            case(
                f"bitcount-{at}",
                ("SET", Key(0), value),
                "BITCOUNT $0",
                Pipe(_ranges("BITCOUNT *", "$0")),
            )
            for at, value in enumerate(values)
        ),
        case(
            "bitcount-arguments",
            "SET $0 foobar",
            "BITCOUNT $0 0",
            "BITCOUNT $0 x 1",
            "BITCOUNT $0 0 x",
            "BITCOUNT $0 0 1 BITS",
            "BITCOUNT $0 0 x BITS",
            "BITCOUNT $0 0 1 BIT 2",
            "BITCOUNT",
            "BITCOUNT $1",
            "BITCOUNT $1 0 1",
            "BITCOUNT $1 5 -3 BIT",
        ),
        case(
            "bitcount-of-large",
            ("SET", Key(0), random.Random(1).randbytes(200_001)),
            "BITCOUNT $0",
            *(f"BITCOUNT $0 {n} {200_000 - 3 * n}" for n in (1, 7, 130, 40_000)),
            *(f"BITCOUNT $0 {n} {1_600_007 - 3 * n} BIT" for n in (1, 7, 130, 40_001)),
        ),
        case(
            "bitcount-arguments-first",
            "BITCOUNT $0 0",
            "BITCOUNT $0 x y",
            "BITCOUNT $0 0 y",
            "BITCOUNT $0 0 1 BITS",
            "BITCOUNT $0 0 1 BIT 2",
            "RPUSH $1 a",
            "BITCOUNT $1 0",
            "BITCOUNT $1 x y",
            "BITCOUNT $1 0 1 BITS",
            "SET $2 foobar",
            "BITCOUNT $2 -1 -3 BITS",
        ),
    ]


def _positions() -> list[Case]:
    values = [b"\x00\x10\x00\xff\x01", b"\0" * 11, b"\xff" * 11, b"\xff" * 40 + b"\x7f", b""]
    return [
        *(
            case(
                f"bitpos-{bit}-of-{at}",
                ("SET", Key(0), value),
                f"BITPOS $0 {bit}",
                *(f"BITPOS $0 {bit} {start}" for start in [*INDEXES, *LIMITS]),
                Pipe(_ranges(f"BITPOS * {bit}", "$0")),
            )
            for at, value in enumerate(values)
            for bit in (0, 1)
        ),
        case(
            "bitpos-arguments",
            "SET $0 foobar",
            *(f"BITPOS $0 {bit}" for bit in NO_BITS),
            "BITPOS $0 1 x",
            "BITPOS $0 1 0 x",
            "BITPOS $0 1 0 1 BITS",
            "BITPOS $0 1 x 1 BITS",
            "BITPOS $0 1 0 x BITS",
            "BITPOS $0 1 0 BIT",
            "BITPOS $0 1 0 1 BIT 2",
            "BITPOS $0 3 0 1 BIT 2",
            "BITPOS $0",
            "BITPOS $1 2",
            "BITPOS $1 0",
            "BITPOS $1 1",
            "BITPOS $1 0 5",
            "BITPOS $1 0 5 -3 BIT",
            "BITPOS $1 1 5 9",
        ),
        case(
            "bitpos-of-large",
            ("SET", Key(0), b"\0" * 70_000 + b"\x01" + b"\xff" * 70_000),
            "BITPOS $0 0",
            "BITPOS $0 1",
            "BITPOS $0 0 70001",
            "BITPOS $0 0 70001 -1",
            "BITPOS $0 1 3 559999 BIT",
            "BITPOS $0 1 3 560007 BIT",
            "BITPOS $0 0 560007 -1 BIT",
        ),
        case(
            "bitpos-arguments-first",
            "BITPOS $0 0 x",
            "BITPOS $0 1 0 x",
            "BITPOS $0 1 0 1 BITS",
            "BITPOS $0 0 0 1 BIT 2",
            "RPUSH $1 a",
            "BITPOS $1 0 x",
            "BITPOS $1 0 0 x",
            "BITPOS $1 0 0 1 BITS",
        ),
    ]


def _combined() -> list[Case]:
    seeded = random.Random(7)
    values = [seeded.randbytes(length) for length in LENGTHS]
    pairs = [(a, b) for a in values for b in values]
    return [
        *(
            case(
                f"bitop-{operation.lower()}-of-lengths",
                *(
                    Pipe(
                        [
                            ("SET", Key(0), a),
                            ("SET", Key(1), b),
                            f"BITOP {operation} $2 $0 $1",
                            "GET $2",
                        ]
                    )
                    for a, b in pairs
                ),
            )
            for operation in OPERATIONS
        ),
        case(
            "bitop-not-of-lengths",
            *(
                Pipe([("SET", Key(0), value), "BITOP NOT $1 $0", "GET $1", "BITOP not $1 $1",
                      "GET $1"])
                for value in values
            ),
        ),
        *(
            case(
                f"bitop-{operation.lower()}-of-many",
                *(("SET", Key(at), seeded.randbytes(500 * at)) for at in range(1, 9)),
                f"BITOP {operation} $0 $8",
                "GET $0",
                f"BITOP {operation} $0 $1 $2 $3 $4 $5 $6 $7 $8 $9",
                "GET $0",
                f"BITOP {operation} $0 " + "$8 $7 $6 " * 7,
                "GET $0",
                # The result may be one of its sources, wherever it stands.
                f"BITOP {operation} $8 $7 $6 $8",
                "GET $8",
                f"BITOP {operation} $8 $8 $7",
                "GET $8",
                f"BITOP {operation} $2 $8 $2",
                "GET $2",
            )
            for operation in OPERATIONS
        ),
        case(
            "bitop-behind-get",
            ("SET", Key(0), b"\x55" * 100_000),
            ("SET", Key(1), b"\x0f" * 100_000),
            Pipe(["GET $0", "BITOP XOR $0 $0 $1", "GET $0", "BITOP NOT $0 $0", "GET $0"]),
        ),
    ]  # fmt: skip


def _large() -> list[Case]:
    """Beyond a megabyte: changed in pages, and read in blocks."""
    value = random.Random(9).randbytes(1_200_000)
    bits = 8 * len(value)
    counted = [(0, -1), (5, bits - 9), (32_000, 33_000), (1, 5), (bits - 70_000, bits - 1)]
    return [
        case(
            "bits-of-pages",
            ("SET", Key(0), value),
            *(f"SETBIT $0 {at} {at % 2}" for at in (7, 32_640, 65_281, 5_000_001, bits - 1, bits)),
            *(
                f"GETBIT $0 {at}"
                for at in (7, 32_640, 65_281, 5_000_001, 5_000_002, bits, bits + 9)
            ),
            "BITCOUNT $0",
            *(f"BITCOUNT $0 {first} {last} BIT" for first, last in counted),
            *(f"BITPOS $0 {bit} {first} {last} BIT" for bit in (0, 1) for first, last in counted),
            "GET $0",
            "SETBIT $0 5000001 0",
            "BITCOUNT $0 100 -100",
        ),
        case(
            "bits-of-gaps",
            "SETBIT $0 20000000 1",
            "BITCOUNT $0",
            "BITPOS $0 1",
            "BITPOS $0 1 2500001",
            "BITPOS $0 0 2500000 -1 BYTE",
            "BITOP NOT $1 $0",
            "BITPOS $1 0",
            "BITPOS $1 1 20000000 -1 BIT",
            "BITCOUNT $1",
            "SETBIT $0 10000000 1",
            "BITOP XOR $1 $1 $0",
            "BITCOUNT $1",
            "BITPOS $1 0",
            "BITPOS $1 0 1250001 -1",
            "BITPOS $1 0 1250001 2400000",
            "STRLEN $1",
            "STRLEN $0",
        ),
        *(
            case(
                f"bitop-{operation.lower()}-of-pages",
                ("SET", Key(0), value),
                ("SET", Key(1), value[:1_100_000][::-1]),
                ("SET", Key(2), value[:70_000]),
                "SETBIT $0 1 1",
                "SETBIT $1 10000000 1",
                f"BITOP {operation} $3 $0 $1 $2",
                "GET $3",
                f"BITOP {operation} $3 $3 $1",
                "GET $3",
                "SETBIT $3 77 1",
                "EXPIRE $3 100",
                f"BITOP {operation} $3 $2 $3",
                "GET $3",
                "TTL $3",
                "BITOP NOT $0 $0",
                "GET $0",
            )
            for operation in OPERATIONS
        ),
    ]


def _stored() -> list[Case]:
    return [
        *in_both_protocols(
            "bitop-arguments",
            "SET $0 abc",
            "BITOP",
            "BITOP AND $1",
            "BITOP NAND $1 $0",
            "BITOP '' $1 $0",
            "BITOP NOT $1 $0 $0",
            "BITOP not $1 $0 $2",
            "BITOP NAND $1 $0 $0",
            "EXISTS $1",
        ),
        case(
            "bitop-of-nothing",
            "BITOP AND $0 $1",
            "BITOP NOT $0 $1",
            "SET $0 abc",
            "SET $2 ''",
            "BITOP XOR $0 $1 $2",
            "EXISTS $0 $2",
            "RPUSH $0 a",
            "BITOP OR $0 $1 $2",
            "EXISTS $0",
            "SET $0 abc",
            "BITOP AND $0 $0 $1",
            "GET $0",
            "BITOP OR $0 $1 $0",
            "GET $0",
        ),
        case(
            "bitop-replaces",
            "SET $0 12345",
            "SET $1 abc EX 100",
            "BITOP OR $1 $0",
            "GET $1",
            "TTL $1",
            "OBJECT ENCODING $1",
            "SADD $2 a",
            "BITOP OR $2 $0 $1",
            "GET $2",
            "OBJECT ENCODING $2",
            "INCR $2",
            "BITOP OR $3 $0",
            "OBJECT ENCODING $3",
        ),
        case(
            "bitop-large-with-deadline",
            ("SET", Key(0), b"\x33" * 5000),
            ("SET", Key(1), b"\x55" * 5000, "EX", "100"),
            "BITOP XOR $1 $0 $1",
            "GET $1",
            "TTL $1",
            "BITOP XOR $1 $0 $1",
            "GET $1",
        ),
        case(
            "bitop-expired",
            "SET $0 abc PX 1",
            "SET $1 abc PX 1",
            Sleep(0.01),
            "SET $2 xy",
            "BITOP OR $1 $0 $2",
            "GET $1",
            "TTL $1",
            "EXISTS $0",
        ),
    ]


CASES = [
    *_bits(), *_wrong_types(), *_counts(), *_positions(), *_combined(), *_large(), *_stored()
]  # fmt: skip


@pytest.mark.parametrize("a_case", CASES, ids=lambda a_case: a_case.name)
def test_bitmaps(subject: Server, oracle: Oracle, a_case: Case) -> None:
    oracle.check(a_case, subject)


def test_gaps_take_no_memory(ours: Server) -> None:
    """Neither does looking for what is in them."""
    with ours.connect() as connection:
        (key, *_) = ours.spread(1)
        assert connection.do("SETBIT", key, "4294967295", "1").value == 0
        assert connection.do("BITCOUNT", key).value == 1
        assert connection.do("BITPOS", key, "1").value == 4294967295
        fields = ("SET", "u8", "16", "255", "GET", "u8", "4294967288", "SET", "i3", "800000", "-1")
        assert connection.do("BITFIELD", key, *fields).value[1].value == 1
        assert connection.do("BITCOUNT", key).value == 12
        assert connection.do("MEMORY", "USAGE", key).value < 100_000
        assert connection.do("DEL", key).value == 1
