"""Lists: both ends, positions, moves from list to list, and the names of their encodings."""

from __future__ import annotations

import pytest
from harness.cases import Case, Do, Key, case, in_both_protocols, mask_remaining
from harness.compare import Oracle
from harness.process import Server

ALL = "LRANGE $0 0 -1"
INDEXES = ["0", "1", "2", "-1", "-3", "-4", "100", "-100", "9223372036854775807", "x", "1.5", ""]
LONG = [b"a" * size + b"%d" % size for size in (63, 64, 65, 500, 999, 1000, 1001, 4095, 70000)]


def _ends() -> list[Case]:
    return [
        *in_both_protocols(
            "list-ends",
            "RPUSH $0 a b c",
            "LPUSH $0 d e",
            ALL,
            "LPUSHX $0 f g",
            "RPUSHX $0 h",
            "LPUSHX $1 f",
            "RPUSHX $1 f",
            "EXISTS $1",
            "LLEN $0",
            "LLEN $1",
            "LPOP $0",
            "RPOP $0",
            "LPOP $0 0",
            "LPOP $0 2",
            "RPOP $0 100",
            "EXISTS $0",
            "LPOP $0",
            "RPOP $0",
            "LPOP $0 0",
            "LPOP $0 3",
            "LPOP $0 -1",
            "RPOP $0 x",
            "LPOP $0 1 2",
            "RPOP $0 1 2",
            "RPUSH $0 '' '' 12 -5 007 9223372036854775807 -0",
            ALL,
            "LPUSHX $0",
        ),
        case("list-keeps-deadline", "RPUSH $0 a", "EXPIRE $0 100", "RPUSH $0 b", "LPOP $0",
             Do("TTL $0", mask=mask_remaining(1000)), "LPOP $0", "RPUSH $0 c", "TTL $0"),
        case("list-is-no-other-type", "SET $0 v", "LPUSH $0 a", "RPUSH $0 a", "LPUSHX $0 a",
             "RPUSHX $0 a", "LPOP $0", "RPOP $0 1", "LPOP $0 x", "LLEN $0", "LINDEX $0 0",
             "LINDEX $0 x", "LRANGE $0 0 1", "LRANGE $0 x 1", "LSET $0 0 a", "LSET $0 x a",
             "LINSERT $0 BEFORE a b", "LINSERT $0 MIDDLE a b", "LREM $0 0 a", "LREM $0 x a",
             "LTRIM $0 0 1", "LTRIM $0 0 x", "LPOS $0 a", "LPOS $0 a RANK 0",
             "LMOVE $0 $1 LEFT LEFT", "RPUSH $1 a", "LMOVE $1 $0 LEFT LEFT", "RPOPLPUSH $0 $1",
             "RPOPLPUSH $1 $0", "LMPOP 2 $2 $0 LEFT", "LMPOP 2 $1 $0 LEFT", "GET $1",
             "RPUSH $1 a", "GET $1", "TYPE $1", "SADD $1 a", "GET $0"),
    ]  # fmt: skip


def _positions() -> list[Case]:
    return [
        *in_both_protocols(
            "list-positions",
            "RPUSH $0 a b c",
            *(f"LINDEX $0 '{index}'" for index in INDEXES),
            *(f"LSET $0 '{index}' x{at}" for at, index in enumerate(INDEXES)),
            ALL,
            "LSET $1 0 a",
            "LSET $1 x a",
            "LINDEX $1 x",
            *(f"LRANGE $0 '{start}' '{stop}'" for start in INDEXES for stop in INDEXES[::2]),
            "LRANGE $1 0 -1",
        ),
        case(
            "linsert",
            "RPUSH $0 a b a c",
            "LINSERT $0 BEFORE a x",
            "LINSERT $0 after a y",
            "LINSERT $0 AFTER c z",
            "LINSERT $0 BEFORE nothing z",
            "LINSERT $1 BEFORE a z",
            "LINSERT $0 MIDDLE a z",
            "LINSERT $1 MIDDLE a z",
            ALL,
        ),
        *(
            case(f"ltrim-{start}-{stop}", "RPUSH $0 a b c d e", f"LTRIM $0 {start} {stop}", ALL,
                 "EXISTS $0", f"LTRIM $1 {start} {stop}")
            for start in INDEXES[:9:2] for stop in INDEXES[:9:3]
        ),
        *(
            case(f"lrem-{count}", "RPUSH $0 a b a a c a", f"LREM $0 {count} a", ALL,
                 f"LREM $0 {count} nothing", f"LREM $1 {count} a", "LREM $0 0 a", "LREM $0 0 b",
                 "LREM $0 0 c", "EXISTS $0")
            for count in ("0", "1", "-1", "2", "-2", "10", "-10", "x", "-9223372036854775808")
        ),
    ]  # fmt: skip


def _lpos() -> list[Case]:
    ranks = ["1", "2", "-1", "-2", "5", "0", "x", "-9223372036854775807", "9223372036854775807"]
    return in_both_protocols(
        "lpos",
        "RPUSH $0 a b c 1 2 3 c c",
        "LPOS $0 c",
        "LPOS $0 nothing",
        "LPOS $1 c",
        *(f"LPOS $0 c RANK {rank}" for rank in ranks),
        *(f"LPOS $0 c COUNT {count}" for count in ("0", "1", "2", "9", "-1", "x")),
        *(f"LPOS $0 c MAXLEN {count}" for count in ("0", "1", "3", "9", "-1", "x")),
        *(f"LPOS $0 c RANK {rank} COUNT 0" for rank in ranks),
        *(f"LPOS $0 c RANK {rank} COUNT 2 MAXLEN 7" for rank in ranks),
        "LPOS $0 nothing COUNT 1",
        "LPOS $1 c COUNT 1",
        "LPOS $0 c RANK",
        "LPOS $0 c FOO 1",
        "LPOS $0 c COUNT 1 RANK",
    )


def _moves() -> list[Case]:
    ends = ["LEFT", "right"]
    return [
        *(
            case(f"lmove-{take}-{put}".lower(), "RPUSH $0 a b c", "RPUSH $1 x",
                 f"LMOVE $0 $1 {take} {put}", f"LMOVE $0 $2 {take} {put}", ALL, "LRANGE $1 0 -1",
                 "LRANGE $2 0 -1", f"LMOVE $1 $1 {take} {put}", "LRANGE $1 0 -1",
                 f"LMOVE $0 $0 {take} {put}", f"LMOVE $0 $1 {take} {put}", "EXISTS $0",
                 f"LMOVE $0 $1 {take} {put}", "EXISTS $0")
            for take in ends for put in ends
        ),
        *in_both_protocols("lmove-errors", "LMOVE $0 $1 UP LEFT", "LMOVE $0 $1 LEFT UP",
                           "LMOVE $0 $1 LEFT LEFT", "RPOPLPUSH $0 $1", "EXISTS $1"),
        case("rpoplpush", "RPUSH $0 a b c", "RPOPLPUSH $0 $1", "RPOPLPUSH $0 $0",
             "RPOPLPUSH $0 $1", ALL, "LRANGE $1 0 -1", "RPOPLPUSH $0 $1", "EXISTS $0"),
        *in_both_protocols(
            "lmpop", "RPUSH $1 a b c d", "LMPOP 3 $0 $1 $2 LEFT", "LMPOP 2 $0 $1 RIGHT COUNT 2",
            "LMPOP 1 $1 left count 10", "LMPOP 1 $1 LEFT", "EXISTS $1", "LMPOP 0 $1 LEFT",
            "LMPOP -1 $1 LEFT", "LMPOP x $1 LEFT", "LMPOP 2 $1 LEFT", "LMPOP 1 $1 UP",
            "LMPOP 1 $1 LEFT COUNT 0", "LMPOP 1 $1 LEFT COUNT -1", "LMPOP 1 $1 LEFT COUNT x",
            "LMPOP 1 $1 LEFT COUNT", "LMPOP 1 $1 LEFT COUNT 1 COUNT 2", "LMPOP 1 $1 LEFT FOO 1",
        ),
    ]  # fmt: skip


def _large() -> list[Case]:
    """Beyond a pack, a leaf and a page: long elements, and many."""
    many = [b"element-%04d" % at for at in range(2000)]
    return [
        case("list-of-long-elements", ("RPUSH", Key(0), *LONG), ALL, ("LPUSH", Key(0), *LONG),
             "LLEN $0", ("LPOS", Key(0), LONG[-1]), ("LSET", Key(0), "3", LONG[-1]),
             ("LSET", Key(0), "4", b"short"), ("LINSERT", Key(0), "AFTER", b"short", LONG[-2]),
             "COPY $0 $1", "LMOVE $0 $1 LEFT RIGHT", "LMOVE $0 $0 RIGHT LEFT",
             ("LREM", Key(0), "0", LONG[-2]), ALL, "LRANGE $1 0 -1", "RPOP $0 30", "EXISTS $0"),
        case("list-of-many", ("RPUSH", Key(0), *many[:1000]), ("LPUSH", Key(0), *many[1000:]),
             "LLEN $0", "LRANGE $0 0 9", "LRANGE $0 990 1010", "LRANGE $0 -5 -1",
             *(f"LINDEX $0 {at}" for at in range(-1999, 2000, 97)),
             "LSET $0 1234 changed", "LINSERT $0 BEFORE changed before", "LPOS $0 changed",
             "LTRIM $0 300 -301", "LLEN $0", "LPOP $0 5", "RPOP $0 5", "RENAME $0 $1",
             "LRANGE $1 0 -1", "LTRIM $1 600 650", "LRANGE $1 0 -1", "DEL $1"),
        case("list-that-drains", ("RPUSH", Key(0), *many[:400]),
             *("LMPOP 1 $0 LEFT COUNT 37" for _ in range(11)), "EXISTS $0"),
    ]  # fmt: skip


CASES = [*_ends(), *_positions(), *_lpos(), *_moves(), *_large()]


@pytest.mark.parametrize("a_case", CASES, ids=lambda a_case: a_case.name)
def test_lists(subject: Server, oracle: Oracle, a_case: Case) -> None:
    oracle.check(a_case, subject)


def test_lpos_rank_below_all(ours: Server) -> None:
    """7.0 takes the smallest integer for a rank; since 7.2 it is out of range."""
    with ours.connect() as connection:
        error = connection.do("LPOS", "list:none", "a", "RANK", "-9223372036854775808").value
        assert error.startswith(b"ERR value is out of range, value must between -92233720368547")


def _encoding(connection, key: str) -> str:
    return connection.do("OBJECT", "ENCODING", key).value.decode()


def test_encodings(ours: Server) -> None:
    """As 7.2 and later: a listpack up to 8 KiB, again from half of that down, or by number."""
    with ours.connect() as connection:
        for at in range(81):
            connection.do("RPUSH", "list:by-size", b"x" * 96 + b"%04d" % at)
            expected = "listpack" if 7 + (at + 1) * 103 <= 8192 else "quicklist"
            assert _encoding(connection, "list:by-size") == expected
        while _encoding(connection, "list:by-size") == "quicklist":
            connection.do("LPOP", "list:by-size")
        assert 7 + connection.do("LLEN", "list:by-size").value * 103 <= 4096
        connection.do("CONFIG", "SET", "list-max-listpack-size", "4")
        try:
            connection.do("RPUSH", "list:by-count", *"abcd")
            assert _encoding(connection, "list:by-count") == "listpack"
            connection.do("RPUSH", "list:by-count", "e")
            assert _encoding(connection, "list:by-count") == "quicklist"
        finally:
            connection.do("CONFIG", "SET", "list-max-listpack-size", "-2")
        connection.do("DEL", "list:by-size", "list:by-count")
