"""HyperLogLogs: what is counted, the bytes that GET sees, both encodings and what lies between,
values that somebody has written into. Every byte is the oracle's."""

from __future__ import annotations

import pytest
from harness.cases import Case, Do, Key, Step, case, in_both_protocols, mask_remaining
from harness.compare import Oracle
from harness.process import Server

SPARSE = b"HYLL\x01" + bytes(11)
DENSE = b"HYLL\x00" + bytes(11)
STALE = b"HYLL\x01" + bytes(10) + b"\x80"
EMPTY = b"\x7f\xff"
LIMITS = [0, 1, 18, 19, 21, 24, 60, 500, 2999, 12304, 40000, 9223372036854775807]
DEFAULT_LIMIT = "CONFIG SET hll-sparse-max-bytes 3000"

Words = tuple[str | bytes | int | Key, ...]


def _add(key: int, start: int, stop: int) -> Words:
    return ("PFADD", Key(key), *(f"element {at}" for at in range(start, stop)))


def _set(key: int, value: bytes) -> Words:
    return ("SET", Key(key), value)


def _limit(size: int) -> Words:
    return ("CONFIG", "SET", "hll-sparse-max-bytes", size)


def _basics() -> list[Case]:
    return [
        *in_both_protocols(
            "pfadd", "PFADD $0 a b c", "GET $0", "PFADD $0 a", "PFADD $0 c d", "GET $0",
            "PFCOUNT $0", "GET $0", "PFCOUNT $0", "PFADD $0 a b c d", "GET $0", "PFADD $0 e",
            "GET $0", "STRLEN $0", "TYPE $0", "OBJECT ENCODING $0", "PFADD $1", "GET $1",
            "PFADD $1", "PFCOUNT $1", "GET $1", "PFADD $1", "GET $1", "PFADD $1 ''", "GET $1",
            "PFCOUNT $2", "PFCOUNT $2 $3", "EXISTS $2", "PFADD", "PFCOUNT", "PFMERGE",
            "PFADD $2 x y", "PFCOUNT $0 $2", "PFCOUNT $0 $1 $2 $3 $0",
        ),
        case("pfadd-elements", ("PFADD", Key(0), b""), ("PFADD", Key(0), b"\x00"),
             ("PFADD", Key(0), b"\xff" * 7), ("PFADD", Key(0), b"\xff" * 8),
             *(("PFADD", Key(0), bytes(range(200, 200 + n))) for n in range(1, 33)), "GET $0",
             ("PFADD", Key(0), b"x" * 100000), "GET $0", "PFCOUNT $0",
             ("PFADD", Key(1), *([b"same"] * 300)), "GET $1"),
        case("hyperloglog-keeps-deadline", "PFADD $0 a", "EXPIRE $0 100", "PFADD $0 b c d e f g h",
             Do("TTL $0", mask=mask_remaining(1000)), "PFADD $1 z", _add(2, 0, 3000),
             "PFMERGE $0 $1", Do("TTL $0", mask=mask_remaining(1000)), "PFMERGE $0 $2",
             "PFCOUNT $0", Do("TTL $0", mask=mask_remaining(1000)), "EXPIRE $1 100",
             "PFMERGE $3 $1", "TTL $3"),
        case("hyperloglog-is-raw", "PFADD $0 a", "GET $0", ("SET", Key(1), STALE + EMPTY),
             "OBJECT ENCODING $1", "PFADD $1", "OBJECT ENCODING $1",
             ("SET", Key(1), SPARSE + EMPTY), "PFCOUNT $1 $0", "OBJECT ENCODING $1", "PFCOUNT $1",
             "OBJECT ENCODING $1", ("SET", Key(1), SPARSE + EMPTY), "PFDEBUG ENCODING $1",
             "OBJECT ENCODING $1", ("SET", Key(1), SPARSE + EMPTY), "PFMERGE $2 $1",
             "OBJECT ENCODING $1", "OBJECT ENCODING $2", "PFMERGE $1 $2", "OBJECT ENCODING $1"),
        case("hyperloglog-copied", _add(0, 0, 3000), "COPY $0 $1", "PFADD $1 more", "PFCOUNT $0",
             "PFCOUNT $1", "GET $0", "GET $1", "COPY $0 $2", "PFMERGE $2 $1", "GET $0", "GET $2",
             "RENAME $2 $3", "PFCOUNT $3", "APPEND $3 x", "PFCOUNT $3"),
    ]  # fmt: skip


def _growing() -> list[Case]:
    """Sparse, with runs split and joined, until it is dense."""
    few: list[Step | Words | str] = []
    for at in range(0, 400, 5):
        few += [_add(0, at, at + 5), "GET $0"]
    many: list[Step | Words | str] = []
    for at in range(0, 3000, 250):
        many += [_add(0, at, at + 250), "GET $0", "PFDEBUG ENCODING $0", "PFCOUNT $0", "STRLEN $0"]
    limits: list[Step | Words | str] = []
    for limit in LIMITS:
        limits += [_limit(limit), "DEL $0 $1", "PFADD $0 a", "GET $0", "PFADD $0 a b", "GET $0",
                   _add(0, 0, 20), "GET $0", _add(1, 0, 2500), "GET $1", "PFMERGE $2 $0", "GET $2",
                   "DEL $2"]  # fmt: skip
    return [
        case("pfadd-step-by-step", *few),
        case("pfadd-until-dense", *many, _add(0, 0, 20000), "GET $0", "PFCOUNT $0"),
        case("pfadd-limits", *limits, DEFAULT_LIMIT),
        case("pfadd-full", _limit(100000),
             *(_add(0, at, at + 20000) for at in range(0, 200000, 20000)), "GET $0", "PFCOUNT $0",
             "STRLEN $0", "PFMERGE $1 $0", "GET $1", DEFAULT_LIMIT, "PFMERGE $2 $0", "GET $2",
             "PFADD $0 z", _add(0, 200000, 201000), "GET $0"),
        case("hll-sparse-max-bytes", "CONFIG GET hll-sparse-max-bytes",
             "CONFIG SET hll-sparse-max-bytes -1", "CONFIG SET hll-sparse-max-bytes x",
             "CONFIG SET hll-sparse-max-bytes 1kb", "CONFIG GET hll-sparse-max-bytes",
             DEFAULT_LIMIT),
    ]  # fmt: skip


def _several() -> list[Case]:
    return [
        *in_both_protocols(
            "pfmerge", "PFADD $0 a b c", "PFADD $1 c d", "PFADD $2 e", "PFMERGE $3 $0 $1 $2",
            "GET $3", "PFCOUNT $3", "GET $3", "PFMERGE $3", "GET $3", "PFMERGE $3 $3 $9", "GET $3",
            "PFMERGE $4", "GET $4", "PFCOUNT $4", "PFMERGE $5 $9 $8", "GET $5", "PFMERGE $0 $1",
            "GET $0", "PFCOUNT $0 $1 $2", "GET $1", "PFCOUNT $0 $9", "PFCOUNT $0 $0 $0",
        ),
        case("pfmerge-encodings", _add(0, 0, 300), _add(1, 200, 500), _add(2, 0, 5000),
             _add(3, 4000, 9000), "PFMERGE $4 $0 $1", "GET $4", "PFMERGE $4 $2", "GET $4",
             "PFCOUNT $4", "PFMERGE $2 $3", "GET $2", "PFMERGE $2 $0", "GET $2", "PFMERGE $0 $3",
             "GET $0", "PFCOUNT $0 $1 $2 $3", "PFCOUNT $1 $3", "PFCOUNT $1 $4",
             "PFMERGE $5 $1 $1 $1 $1", "GET $5", _add(6, 0, 1200), _add(7, 1200, 2400),
             "PFMERGE $8 $6 $7", "GET $8", "PFDEBUG ENCODING $8", "PFMERGE $6 $7", "GET $6"),
        case("pfmerge-small-dense", "PFADD $0 a", "PFDEBUG TODENSE $0", "GET $0", "PFADD $1 b",
             "PFMERGE $1 $0", "GET $1", "PFADD $0 a", "PFADD $0 c", "GET $0", "PFCOUNT $0",
             "GET $0", "PFADD $0 a c", "GET $0", "PFADD $2 x", "PFMERGE $0 $2", "GET $0"),
        case("pfcount-of-many-keys", *(_add(at, at * 40, at * 40 + 60) for at in range(10)),
             "PFCOUNT $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 $0 $1 $2 $3 $4 $5 $6 $7 $8 $9",
             "PFMERGE $9 $8 $7 $6 $5 $4 $3 $2 $1 $0 $1 $2 $3 $4 $5 $6 $7 $8 $9", "GET $9"),
        case("pfcount-cached", "PFADD $0 a b c", "PFCOUNT $0", ("SETRANGE", Key(0), 8, b"\x07\x01"),
             "PFCOUNT $0", "PFCOUNT $0 $1", ("SETRANGE", Key(0), 8, b"\xff" * 7 + b"\x7f"),
             "PFCOUNT $0", "PFADD $0 a", "PFCOUNT $0", "PFADD $0 d", "GET $0", "PFCOUNT $0",
             "GET $0", "PFMERGE $0 $1", "GET $0", ("SETRANGE", Key(0), 5, b"xyz"), "PFCOUNT $0",
             "GET $0", _add(0, 0, 3000), "GET $0", "PFCOUNT $0", "GET $0"),
    ]  # fmt: skip


def _wrong() -> list[Case]:
    every = ("PFADD $0 a", "PFADD $0", "PFCOUNT $0", "PFCOUNT $1 $0", "PFMERGE $1 $0",
             "PFMERGE $0 $1", "PFMERGE $0", "PFDEBUG GETREG $0", "PFDEBUG DECODE $0",
             "PFDEBUG ENCODING $0", "PFDEBUG TODENSE $0", "PFDEBUG FOO $0")  # fmt: skip
    strings = [b"", b"abc", b"12", b"HYLL", SPARSE[:15], DENSE, DENSE + bytes(12287),
               DENSE + bytes(12289), b"HYLK" + SPARSE[4:] + EMPTY, b"hyll" + SPARSE[4:] + EMPTY,
               b"HYLL\x02" + SPARSE[5:] + EMPTY, b"HYLL\xff" + SPARSE[5:] + EMPTY]  # fmt: skip
    no_value: list[Step | Words | str] = ["PFADD $1 a"]
    for value in strings:
        no_value += [_set(0, value), *every, "GET $0"]
    return [
        case("hyperloglog-is-no-other-type", "RPUSH $0 a", "PFADD $1 a", *every, "LRANGE $0 0 -1",
             "PFCOUNT $9 $0 $1", "PFMERGE $9 $1 $0", "EXISTS $9"),
        case("hyperloglog-of-other-strings", *no_value),
    ]  # fmt: skip


# Half an opcode at the end: redis-server writes behind the string when it adds to that.
CUT = [b"\x7f", b"\x40", b"\x7f\xff\x7f", b"\x40\xfe\x7f"]

# Runs that are not all registers, are too many, are in another order than Redis would make them.
RUNS = [
    b"", b"\x7f", b"\x40", b"\x00", b"\x7f\xfe", b"\x7f\xff\x00", b"\x7f\xff\x80", b"\x7f\xff\x7f",
    b"\x7f\xff\x7f\xff", b"\x7f\xfe\x80", b"\x7f\xfd\x80\x80", b"\x7f\xfc\x80\x80\x80",
    b"\x40\xfe\x7f", b"\x3f" * 256, b"\x3f" * 255 + b"\x80" * 64, b"\x83" * 4096, b"\x83" * 4097,
    b"\xff" * 4096, b"\x40\x00" * 16384, b"\x40\x00" * 16383, b"\x80" * 16384, b"\x00" * 16384,
    b"\x00" * 16385, b"\x7f\xff" * 3000, b"\x83" * 4095, b"\x84\x80\x84\x80" * 4096,
]  # fmt: skip


def _damaged() -> list[Case]:
    adds = ("PFADD $0 a", "PFADD $0 b", "PFADD $0 f", "PFADD $0 hello", "PFMERGE $0 $1")
    reads = ("PFCOUNT $0", "PFCOUNT $0 $1", "PFMERGE $1 $0", "PFDEBUG DECODE $0",
             "PFDEBUG TODENSE $0", "PFDEBUG GETREG $0", "PFDEBUG ENCODING $0")  # fmt: skip
    cases = []
    for number, runs in enumerate(RUNS):
        steps: list[Step | Words | str] = ["PFADD $1 z y"]
        for use in reads if runs in CUT else (*adds, *reads):
            steps += [_set(0, STALE + runs), use, "GET $0", "GET $1"]
        cases.append(case(f"hyperloglog-damaged-{number}", *steps))
    dense = [bytes([rank | rank << 6 & 0xC0, rank >> 2 | rank << 4 & 0xF0, rank >> 4 | rank << 2])
             for rank in (1, 50, 51, 52, 63)]  # fmt: skip
    high: list[Step | Words | str] = ["PFADD $1 z y"]
    for three in dense:
        high += [_set(0, DENSE[:15] + b"\x80" + three * 4096), "PFCOUNT $0", "GET $0", "PFCOUNT $0",
                 "PFCOUNT $0 $1", "PFADD $0 a b c", "PFMERGE $2 $0", "GET $2"]  # fmt: skip
    return [*cases, case("hyperloglog-ranks-of-no-element", *high)]


def _debug() -> list[Case]:
    return in_both_protocols(
        "pfdebug", "PFDEBUG GETREG $0", "PFDEBUG FOO $0", "PFADD $0 a b c", "PFDEBUG DECODE $0",
        "PFDEBUG encoding $0", "PFDEBUG Foo $0", "PFDEBUG", "PFDEBUG DECODE",
        "PFDEBUG DECODE $0 $1", "PFDEBUG GETREG $0", "PFDEBUG ENCODING $0", "GET $0",
        "PFDEBUG DECODE $0", "PFDEBUG TODENSE $0", "PFADD $1 a b c", "PFCOUNT $1",
        "PFDEBUG TODENSE $1", "GET $1", "PFDEBUG TODENSE $1", "PFADD $2", "PFDEBUG DECODE $2",
        _add(2, 0, 1000), "PFDEBUG DECODE $2", "PFDEBUG GETREG $2", "PFSELFTEST", "PFSELFTEST x",
    )  # fmt: skip


CASES = [*_basics(), *_growing(), *_several(), *_wrong(), *_damaged(), *_debug()]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_hyperloglogs(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def test_a_damaged_value_keeps_what_came_before(subject: Server) -> None:
    """Where redis-server leaves the elements before the one that fails, all of them fail."""
    with subject.connect() as connection:
        damaged = STALE + b"\x67\x0f"  # 10000 registers, of which "c" has one and "a" has none
        connection.do("SET", "damaged", damaged)
        assert connection.do("PFADD", "damaged", "c", "a").kind == "error"
        kept = connection.do("GET", "damaged").value == damaged
        assert kept != subject.is_redis
        assert connection.do("PFADD", "damaged", "c").value == int(kept)
        assert connection.do("GET", "damaged").value != damaged
