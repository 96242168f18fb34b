"""BITFIELD and BITFIELD_RO: numbers of every width at every place, and what overflows."""

from __future__ import annotations

import random

import pytest
from harness.cases import Case, Do, Key, Pipe, Sleep, case, in_both_protocols, mask_remaining
from harness.compare import Oracle
from harness.process import Server

SECONDS = mask_remaining(1000)
TYPES = ["u1", "i1", "u2", "i2", "i5", "u7", "u8", "i8", "u13", "i31", "u32", "i33", "u62", "i62",
         "u63", "i63", "i64"]  # fmt: skip
NO_TYPES = ["u64", "i65", "u0", "i0", "i", "u", "", "8", "x8", "U8", "I8", "u-1", "u+8", "u08",
            "u8 ", "u99999999999999999999"]  # fmt: skip
NO_OFFSETS = ["-1", "x", "", "1.5", "4294967296", "9223372036854775807", "9223372036854775808",
              "#", "#-1", "#x", "#+1", "#1x", "#4294967296", "#9223372036854775807"]  # fmt: skip
OVERFLOWS = ["WRAP", "sat", "Fail"]
SMALLEST, LARGEST = -(2**63), 2**63 - 1


def _limits(kind: str) -> list[int]:
    """Around what the type holds, around int64, and around the distance of the two."""
    width = int(kind[1:])
    top = 2 ** (width - (kind[0] == "i")) - 1
    bottom = -top - 1 if kind[0] == "i" else 0
    around = [top - 1, top, top + 1, bottom - 1, bottom, bottom + 1, top // 2]
    around += [SMALLEST, SMALLEST + 1, SMALLEST + top, SMALLEST + top + 1, LARGEST, LARGEST - top]
    return [n for n in dict.fromkeys([*around, 0, 1, -1]) if SMALLEST <= n <= LARGEST]


def _overflows(kind: str) -> list[Case]:
    numbers = _limits(kind)
    return [
        case(
            f"bitfield-{kind}-{overflow.lower()}",
            *(
                Pipe(
                    [
                        f"BITFIELD $0 SET {kind} 3 {first}",
                        f"BITFIELD $0 OVERFLOW {overflow} INCRBY {kind} 3 {second} GET {kind} 3",
                        f"BITFIELD $0 OVERFLOW {overflow} SET {kind} 3 {second} GET {kind} 3",
                        "GET $0",
                    ]
                )
                for first in numbers
                for second in numbers
            ),
        )
        for overflow in OVERFLOWS
    ]


def _places() -> list[Case]:
    value = random.Random(3).randbytes(20)
    offsets = [*range(18), 63, 64, 65, 95, 100, 143, 150, 159, 160, 1000]
    return [
        *(
            case(
                f"bitfield-{kind}-anywhere",
                ("SET", Key(0), value),
                Pipe([f"BITFIELD_RO $0 GET {kind} {at}" for at in offsets]),
                Pipe([("BITFIELD", Key(0), "GET", kind, f"#{at}") for at in (0, 1, 2, 3, 9)]),
                Pipe(
                    [
                        step
                        for at in offsets
                        for step in (f"BITFIELD $0 SET {kind} {at} -1 GET {kind} {at}", "GET $0")
                    ]
                ),
                Pipe(
                    [
                        ("BITFIELD", Key(1), "SET", kind, f"#{at}", at, "GET", kind, f"#{at}")
                        for at in (0, 3, 1, 9)
                    ]
                ),
                "GET $1",
            )
            for kind in TYPES
        ),
        case(
            "bitfield-grows",
            *(
                step
                for at in (100, 3900, 4080, 4090, 5000, 90000)
                for step in (f"BITFIELD $0 SET i64 {at} -1", "STRLEN $0", "GET $0")
            ),
        ),
        case(
            "bitfield-behind-get",
            ("SET", Key(0), b"\0" * 100_000),
            Pipe([*["GET $0", "BITFIELD $0 INCRBY u8 799992 7"] * 3, "GET $0"]),
        ),
    ]


def _syntax() -> list[Case]:
    return [
        *in_both_protocols(
            "bitfield-arguments",
            "SET $0 abcdefgh",
            *(("BITFIELD", Key(0), "GET", kind, "0") for kind in NO_TYPES),
            *(("BITFIELD", Key(0), "SET", kind, "x", "y") for kind in NO_TYPES[:3]),
            *(("BITFIELD", Key(0), "GET", "u8", at) for at in NO_OFFSETS),
            *(("BITFIELD", Key(0), "SET", "u8", at, "x") for at in NO_OFFSETS),
            *(f"BITFIELD $0 SET u8 0 {n}" for n in ("x", "''", "1.5", "9223372036854775808")),
            *(f"BITFIELD $0 INCRBY u8 0 {n}" for n in ("x", "''", "-9223372036854775809")),
            "BITFIELD",
            "BITFIELD $0",
            "BITFIELD $0 FOO",
            "BITFIELD $0 GET",
            "BITFIELD $0 GET u8",
            "BITFIELD $0 SET u8 0",
            "BITFIELD $0 INCRBY u8 0",
            "BITFIELD $0 SET u8 0 1 GET u8",
            "BITFIELD $0 OVERFLOW",
            "BITFIELD $0 OVERFLOW FOO",
            "BITFIELD $0 OVERFLOW SAT",
            "BITFIELD $0 SET u8 0 1 OVERFLOW",
            "BITFIELD $0 SET u8 0 1 OVERFLOW FOO",
            "BITFIELD $0 SET u8 0 1 OVERFLOW FOO GET u99 0",
            "BITFIELD $0 SET u8 0 1 GET u99 0 OVERFLOW FOO",
            "GET $0",
            "BITFIELD $1 GET u8 0 GET i64 5",
            "BITFIELD $1",
            "BITFIELD $1 OVERFLOW FAIL",
            "EXISTS $1",
            "bitfield $0 set u8 0 1 get u8 0 overflow sat incrBY u8 0 1000",
            "GET $0",
        ),
        *in_both_protocols(
            "bitfield-ro",
            "SET $0 abcdefgh",
            "BITFIELD_RO",
            "BITFIELD_RO $0",
            "BITFIELD_RO $0 GET u8 0 get i16 4",
            "BITFIELD_RO $0 GET u8 0 SET u8 0 1",
            "BITFIELD_RO $0 INCRBY u8 0 1",
            "BITFIELD_RO $0 SET u8 0 1 GET u64 0",
            "BITFIELD_RO $0 SET u8 0",
            "BITFIELD_RO $0 OVERFLOW SAT GET u8 0",
            "BITFIELD_RO $0 OVERFLOW FOO GET u8 0",
            "BITFIELD_RO $1 GET u8 0 GET i8 0",
            "BITFIELD_RO $1 SET u8 0 1",
            "EXISTS $1",
            "GET $0",
        ),
    ]


def _strings() -> list[Case]:
    return [
        case(
            "bitfield-of-other-types",
            "RPUSH $0 a",
            "BITFIELD $0",
            "BITFIELD $0 GET u8 0",
            "BITFIELD $0 GET u64 0",
            "BITFIELD $0 SET u8 0 1",
            "BITFIELD $0 SET u8 0 x",
            "BITFIELD_RO $0 GET u8 0",
            "BITFIELD_RO $0 SET u8 0 1",
        ),
        *in_both_protocols(
            "bitfield-fails",
            "BITFIELD $0 OVERFLOW FAIL SET u8 0 256",
            "GET $0",
            "BITFIELD $0 OVERFLOW FAIL INCRBY i8 24 128 INCRBY u8 8 5 INCRBY u8 8 251 GET u8 8",
            "GET $0",
            "BITFIELD $0 OVERFLOW FAIL SET i64 0 -1 OVERFLOW SAT INCRBY i64 0 -9223372036854775808 "
            "OVERFLOW WRAP INCRBY i64 0 -1 GET u63 1",
            "GET $0",
        ),
        case(
            "bitfield-one-after-the-other",
            "BITFIELD $0 SET u8 0 255 INCRBY u8 0 1 SET u4 4 9 GET u8 0 GET i4 4 INCRBY u12 0 4095",
            "GET $0",
            "STRLEN $0",
        ),
        case(
            "bitfield-of-numbers",
            "SET $0 12345",
            "BITFIELD $0 GET u8 0",
            "OBJECT ENCODING $0",
            "BITFIELD $0 SET u8 0 49",
            "OBJECT ENCODING $0",
            "BITFIELD $0 INCRBY u8 32 1",
            "INCR $0",
        ),
        case(
            "bitfield-keeps-deadline",
            "SET $0 a EX 100",
            "BITFIELD $0 SET u8 5000 1",
            Do("TTL $0", mask=SECONDS),
        ),
        case(
            "bitfield-expired",
            "SET $0 abc PX 1",
            Sleep(0.01),
            "BITFIELD $0 GET u8 0 INCRBY u8 8 1",
            "GET $0",
            "TTL $0",
        ),
        case(
            "bitfield-of-pages",
            ("SET", Key(0), random.Random(5).randbytes(1_200_000)),
            "BITFIELD $0 GET i64 32630 SET i64 32630 -2 INCRBY u63 65265 5 GET i64 32620",
            "BITFIELD $0 SET u8 9600000 1 GET u8 5 SET u8 5000000 9 INCRBY i33 9599990 77 "
            "SET i64 12000001 -3 GET i64 12000000",
            "STRLEN $0",
            "BITCOUNT $0",
            "GET $0",
            "BITFIELD $0 OVERFLOW FAIL SET u8 13000000 256 SET u8 40 256",
            "STRLEN $0",
            "BITFIELD_RO $0 GET i64 9599999 GET i64 12000000 GET u8 20000000",
            "BITFIELD $1 SET u8 9600000 1 SET u8 0 7",
            "SET $2 abc",
            "BITFIELD $2 INCRBY u8 16 1 SET u8 8388616 3 GET u8 0 GET u8 8388616",
            "BITFIELD $2 SET u8 8388608 255",
            "GET $2",
            "BITCOUNT $1",
        ),
        # Where a field begins is limited, not where it ends.
        case(
            "bitfield-limit",
            "CONFIG SET proto-max-bulk-len 1048576",
            "BITFIELD $0 SET u8 8388608 1",
            "BITFIELD $0 GET u8 8388608",
            ("BITFIELD", Key(0), "SET", "u8", f"#{1048576}", "1"),
            "EXISTS $0",
            "BITFIELD $0 SET i64 8388607 -2 GET u8 8388600 GET i64 8388607",
            "STRLEN $0",
            "CONFIG SET proto-max-bulk-len 536870912",
        ),
    ]


CASES = [
    *(a_case for kind in TYPES for a_case in _overflows(kind)),
    *_places(),
    *_syntax(),
    *_strings(),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda a_case: a_case.name)
def test_bitfields(subject: Server, oracle: Oracle, a_case: Case) -> None:
    oracle.check(a_case, subject)


def test_offsets_that_overflow(ours: Server) -> None:
    """Redis multiplies in 64 bits and takes what is left, a small offset; ours is refused."""
    with ours.connect() as connection:
        for kind, at in (("u8", 2**61), ("i64", 2**58 + 1), ("u32", 2**62)):
            error = connection.do("BITFIELD", "bitfield:none", "SET", kind, f"#{at}", "1").value
            assert error == b"ERR bit offset is not an integer or out of range"
        assert connection.do("EXISTS", "bitfield:none").value == 0
