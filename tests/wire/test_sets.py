"""Sets: members, moves, random members, algebra, SSCAN, and the names of their encodings."""

from __future__ import annotations

import pytest
from harness.cases import (
    MASKED,
    Case,
    Do,
    Key,
    Mask,
    case,
    in_both_protocols,
    mask_remaining,
    unordered,
)
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Reply

LONG = [b"m" * size for size in (63, 64, 65, 500, 999, 1000, 1001, 70000)]
MANY = [b"member-%04d" % at for at in range(2000)]
COUNTS = ["0", "1", "2", "-1", "-3", "x", "1.5", "9223372036854775808", "-9223372036854775808"]


def _any(*command: object) -> Do:
    words = command[0] if len(command) == 1 else command
    return Do(words, mask=unordered)


def _members(key: int = 0) -> Do:
    return _any(f"SMEMBERS ${key}")


def _drawn(members: set[bytes]) -> Mask:
    """Any members: what is kept is how many there are and that they are members."""

    def mask(reply: Reply) -> Reply:
        if isinstance(reply.value, tuple):
            return Reply(reply.kind, tuple(map(mask, reply.value)))
        return MASKED if reply.value in members else reply

    return mask


def _found(reply: Reply) -> Reply:
    """What SSCAN found when it is through."""
    if reply.kind != "array":
        return reply
    cursor, items = reply.value
    return Reply("array", (cursor, unordered(items)))


def _basics() -> list[Case]:
    return [
        *in_both_protocols(
            "set-members", "SADD $0 a b c a", "SADD $0 a", "SADD $0 d '' 1 01", _members(),
            "SCARD $0", "SCARD $1", "SISMEMBER $0 a", "SISMEMBER $0 x", "SISMEMBER $1 a",
            "SMISMEMBER $0 a x '' 1 01 001", "SMISMEMBER $1 a b", "SREM $0 a x a", "SREM $1 a",
            "SREM $0 b c d '' 1", _members(), "SREM $0 01", "EXISTS $0", _members(1),
        ),
        case("set-keeps-deadline", "SADD $0 a", "EXPIRE $0 100", "SADD $0 b", "SREM $0 a",
             Do("TTL $0", mask=mask_remaining(1000)), "SREM $0 b", "SADD $0 c", "TTL $0"),
        case("set-is-no-other-type", "SET $0 v", "SADD $1 a", "SADD $0 a", "SREM $0 a",
             "SMOVE $0 $1 a", "SMOVE $1 $0 a", "SMOVE $2 $0 a", "SMOVE $1 $0 nothing",
             "SISMEMBER $0 a", "SMISMEMBER $0 a", "SCARD $0", "SPOP $0", "SPOP $0 0", "SPOP $0 x",
             "SRANDMEMBER $0", "SRANDMEMBER $0 1", "SMEMBERS $0", "SINTER $1 $0", "SINTER $2 $0",
             "SUNION $0 $1", "SDIFF $1 $0", "SDIFF $2 $0", "SINTERCARD 2 $1 $0", "SSCAN $0 0",
             "SSCAN $0 x", "SINTERSTORE $3 $1 $0", "SUNIONSTORE $3 $0", "SDIFFSTORE $3 $2 $0",
             "EXISTS $3", "GET $0", "SUNIONSTORE $0 $1", "TYPE $0"),
        *in_both_protocols(
            "smove", "SADD $0 a b", "SADD $1 b c", "SMOVE $0 $1 a", "SMOVE $0 $1 x",
            "SMOVE $0 $1 b", "EXISTS $0", "SMOVE $0 $1 b", "SMOVE $1 $1 b", "SMOVE $1 $1 x",
            "SMOVE $1 $2 c", _members(1), _members(2),
        ),
    ]  # fmt: skip


def _algebra() -> list[Case]:
    operands = ["$0", "$0 $1", "$1 $0", "$0 $1 $2", "$0 $9", "$9 $0", "$9", "$0 $0"]
    fill = ["SADD $0 a b c d 1 2", "SADD $1 c d e 2", "SADD $2 d x 2 3"]
    return [
        *in_both_protocols(
            "set-algebra", *fill,
            *(_any(f"{name} {keys}") for name in ("SINTER", "SUNION", "SDIFF")
              for keys in operands),
        ),
        *(
            case(f"{name}-{at}".lower(), *fill, f"{name} $3 {keys}", _members(3),
                 f"{name} $0 {keys}", _members(), "EXPIRE $1 100", f"{name} $1 $1 $0", "TTL $1",
                 "SET $4 v", f"{name} $4 {keys}", "EXISTS $4", _any("SMEMBERS $4"))
            for name in ("SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE")
            for at, keys in enumerate(operands)
        ),
        *in_both_protocols(
            "sintercard", *fill, "SINTERCARD 2 $0 $1", "SINTERCARD 3 $0 $1 $2",
            "SINTERCARD 2 $0 $1 LIMIT 0", "SINTERCARD 2 $0 $1 limit 1",
            "SINTERCARD 2 $0 $1 LIMIT 100", "SINTERCARD 1 $9", "SINTERCARD 0 $0",
            "SINTERCARD -1 $0", "SINTERCARD x $0", "SINTERCARD 3 $0 $1", "SINTERCARD 1 $0 $1",
            "SINTERCARD 1 $0 LIMIT", "SINTERCARD 1 $0 LIMIT -1", "SINTERCARD 1 $0 LIMIT x",
            "SINTERCARD 1 $0 FOO 1", "SINTERCARD 1 $0 LIMIT 1 LIMIT 2",
        ),
    ]  # fmt: skip


def _random() -> list[Case]:
    few = {b"a", b"b", b"c"}
    return [
        *in_both_protocols(
            "srandmember", "SRANDMEMBER $0", "SRANDMEMBER $0 3", "SRANDMEMBER $0 -3",
            "SADD $0 a b c", Do("SRANDMEMBER $0", mask=_drawn(few)),
            *(Do(f"SRANDMEMBER $0 {count}", mask=_drawn(few)) for count in COUNTS),
            _any("SRANDMEMBER $0 3"), _any("SRANDMEMBER $0 100"),
            Do("SRANDMEMBER $0 -100", mask=_drawn(few)), "SRANDMEMBER $0 1 2", "SCARD $0",
        ),
        *in_both_protocols(
            "spop", "SPOP $0", "SPOP $0 0", "SPOP $0 3", "SADD $0 a b c",
            *(f"SPOP $0 {count}" for count in COUNTS[3:]), "SPOP $0 1 2", "SPOP $0 0",
            Do("SPOP $0", mask=_drawn(few)), "SCARD $0", Do("SPOP $0 1", mask=_drawn(few)),
            "SCARD $0", Do("SPOP $0", mask=_drawn(few)), "EXISTS $0", "SADD $0 a b c",
            _any("SPOP $0 3"), "EXISTS $0", "SADD $0 a b c", _any("SPOP $0 100"), "EXISTS $0",
        ),
        case("spop-of-many", ("SADD", Key(0), *MANY), Do("SPOP $0 700", mask=_drawn(set(MANY))),
             "SCARD $0", Do("SPOP $0 1000", mask=_drawn(set(MANY))), "SCARD $0",
             Do("SRANDMEMBER $0 20", mask=_drawn(set(MANY))),
             Do("SRANDMEMBER $0 200", mask=_drawn(set(MANY))), "DEL $0"),
    ]  # fmt: skip


def _scan() -> list[Case]:
    def scan(words: str) -> Do:
        return Do(words, mask=_found)

    return [
        *in_both_protocols(
            "sscan", scan("SSCAN $0 0"), "SADD $0 a1 a2 b1 1 2 3", scan("SSCAN $0 0"),
            scan("SSCAN $0 0 MATCH a*"), scan("SSCAN $0 0 COUNT 100 MATCH *1"),
            scan("SSCAN $0 0 MATCH nothing"), "SSCAN $0 x", "SSCAN $0 0 COUNT 0",
            "SSCAN $0 0 COUNT x", "SSCAN $0 0 FOO", "SSCAN $0 0 MATCH", "SSCAN $1 0 FOO",
            "SSCAN $1 x", "SSCAN $0 0 TYPE set",
        ),
        case("sscan-of-many", ("SADD", Key(0), *MANY), scan("SSCAN $0 0 COUNT 5000"),
             scan("SSCAN $0 0 COUNT 5000 MATCH *7")),
    ]  # fmt: skip


def _large() -> list[Case]:
    return [
        case("set-of-long-members", ("SADD", Key(0), *LONG), _members(), ("SADD", Key(0), *LONG),
             *(("SISMEMBER", Key(0), member) for member in LONG), "COPY $0 $1",
             ("SMOVE", Key(0), Key(2), LONG[-1]), ("SREM", Key(0), *LONG[:-1]), "EXISTS $0",
             _members(1), _any("SINTER $1 $2"), _any("SDIFF $1 $2"), _any("SUNION $2 $1")),
        case("set-of-many", ("SADD", Key(0), *MANY[:1200]), ("SADD", Key(1), *MANY[800:]),
             _any("SINTER $0 $1"), "SINTERCARD 2 $0 $1", "SUNIONSTORE $2 $0 $1", "SCARD $2",
             "SDIFFSTORE $3 $0 $1", "SCARD $3", ("SREM", Key(0), *MANY[::3]), "SCARD $0",
             ("SMISMEMBER", Key(0), *MANY[:60]), "RENAME $0 $4", _members(4)),
    ]  # fmt: skip


CASES = [*_basics(), *_algebra(), *_random(), *_scan(), *_large()]


@pytest.mark.parametrize("a_case", CASES, ids=lambda a_case: a_case.name)
def test_sets(subject: Server, oracle: Oracle, a_case: Case) -> None:
    oracle.check(a_case, subject)


def test_sscan_finds_what_stays(ours: Server) -> None:
    """Members that are there throughout are found, whatever comes and goes meanwhile."""
    with ours.connect() as connection:
        stays = set(MANY[::2])
        connection.do("SADD", "set:scanned", *MANY)
        found, cursor, round_ = set(), b"0", 0
        while True:
            cursor, items = connection.do("SSCAN", "set:scanned", cursor, "COUNT", "50").value
            cursor = cursor.value
            found |= {item.value for item in items.value}
            if cursor == b"0":
                break
            connection.do("SREM", "set:scanned", *MANY[1 + 2 * round_ : 200 + 2 * round_ : 2])
            connection.do("SADD", "set:scanned", *(b"new-%d-%d" % (round_, i) for i in range(90)))
            round_ += 1
        assert round_ > 20 and stays <= found
        connection.do("DEL", "set:scanned")


def test_encodings(ours: Server) -> None:
    """As 7.2 and later: integers, then few and short members, then any."""

    def encoding(*members: object) -> str:
        connection.do("DEL", "set:named")
        for at in range(0, len(members), 50):
            connection.do("SADD", "set:named", *members[at : at + 50])
        return connection.do("OBJECT", "ENCODING", "set:named").value.decode()

    with ours.connect() as connection:
        assert encoding(*map(str, range(512))) == "intset"
        assert encoding(*map(str, range(513))) == "hashtable"
        assert encoding("1", "a") == "listpack"
        assert encoding("01") == "listpack"
        assert encoding(*map(str, range(127)), "a") == "listpack"
        assert encoding(*map(str, range(128)), "a") == "hashtable"
        assert encoding(*(f"m{at}" for at in range(128))) == "listpack"
        assert encoding(*(f"m{at}" for at in range(129))) == "hashtable"
        assert encoding("m" * 64) == "listpack"
        assert encoding("m" * 65) == "hashtable"
        connection.do("CONFIG", "SET", "set-max-intset-entries", "2", "set-max-listpack-value", "3")
        try:
            assert encoding("1", "2") == "intset"
            assert encoding("1", "2", "3") == "listpack"
            assert encoding("abcd") == "hashtable"
        finally:
            connection.do(
                *("CONFIG", "SET", "set-max-intset-entries", "512"),
                *("set-max-listpack-value", "64"),
            )
        connection.do("DEL", "set:named")
