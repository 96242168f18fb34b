"""Random sequences for sorted sets and positions: few keys on several shards, keys of
other types, deadlines that pass between two commands, near-misses of every argument.

What 7.4 answers otherwise than the oracle is kept out of them; the wire cases have it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from harness.cases import (
    Mask,
    shortest_doubles,
    unordered,
    unordered_pairs,
)
from harness.resp import Reply
from harness.sequences import Sequence
from harness.strategies import command

KEYS = ["key:0", "key:1", "key:2", b"\x00\xff\r\n"]

_name = st.sampled_from
_key = _name(KEYS)


def some(*words: str | tuple, most: int = 2) -> st.SearchStrategy:
    return st.lists(_name(words), max_size=most)


def numbers(*usual: object) -> st.SearchStrategy:
    """Mostly the usual ones, and now and then what is no number, or none of this size."""
    odd = [
        "x",
        "",
        " 1",
        "1.5",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
    ]
    return _name([*map(str, usual)] * 3 + odd)


def timeouts() -> st.SearchStrategy:
    """Of a blocking command, which has to end by itself."""
    odd = ["x", "", "-1", "-0.5", "nan", " 1", "0x1p-10"]
    return _name(["0.01", "0.001", ".005", "1e-2"] * 6 + odd)


@dataclass(frozen=True)
class Family:
    """Command sequences, how replies of some commands are masked, and what undoes what a sequence
    leaves beside its keys."""

    name: str
    sequences: st.SearchStrategy[Sequence]
    masks: dict[str, Mask] = field(default_factory=dict)
    after: list[tuple] = field(default_factory=list)

    def mask(self, words: tuple, reply: Reply) -> Reply:
        return self.masks.get(words[0], shortest_doubles)(reply)


def _passed(key: str | bytes) -> list[tuple]:
    """A deadline that is over when the next command runs."""
    return [("PEXPIRE", key, "1"), ("DEBUG", "SLEEP", "0.002")]


_OTHERS = [
    command(_name(["DEL", "UNLINK", "EXISTS", "TYPE", "PERSIST"]), _key),
    command("SET", _key, "a string"),
    command("EXPIRE", _key, _name(["100000", "-1"])),
    command(_name(["RENAME", "RENAMENX", "COPY"]), _key, _key),
    command("OBJECT", "ENCODING", _key),
]


def sequences_of(kinds: list[st.SearchStrategy], first: list[tuple]) -> st.SearchStrategy[Sequence]:
    """Sequences of commands of these kinds, after those that fill some keys."""
    one = st.one_of([kind.map(lambda words: [words]) for kind in kinds])
    others = st.one_of([kind.map(lambda words: [words]) for kind in _OTHERS])
    # One in eight is about keys as such, or lets a deadline pass.
    step = st.integers(0, 15).flatmap(
        lambda n: _key.map(_passed) if n == 15 else others if n == 14 else one
    )
    batch = st.lists(step, min_size=1, max_size=14).map(lambda steps: [w for s in steps for w in s])
    batches = st.lists(st.tuples(st.booleans(), batch), min_size=1, max_size=6)
    return batches.map(lambda rest: [(True, first), *rest])


# ---- sorted sets ---------------------------------------------------------------------------------

MEMBERS = [
    "a",
    "b",
    "bb",
    "c",
    "",
    "10",
    "-5",
    b"\x00",
    b"\xff\xff",
    "m" * 64,
    "n" * 65,
    "o" * 1500,
]
SCORES = [
    *("0", "1", "2", "2.5", "-1", "-3.75", "1e3", "inf", "-inf", "0.1", "0.2", "1e17", "1e300"),
    "-1e300",
    *("9007199254740993", "5e-324", "1"),
]
BAD_SCORES = ["nan", "x", "", " 1", "1e400"]
BOUNDS = ["-inf", "+inf", "0", "1", "(1", "2", "(2", "2.5", "(0.1", "1e3", "-5", "x", "(", "nan"]
LEXES = ["-", "+", "[a", "(a", "[bb", "(c", "[", "(", "[10", b"[\x00", b"(\xff", "a", ""]

_member = _name(MEMBERS)
_score = _name(SCORES * 3 + BAD_SCORES)
_pair = st.tuples(_score, _member)
_pairs = st.lists(_pair, min_size=1, max_size=6)
_many = st.integers(100, 300).map(
    lambda count: tuple(part for at in range(count) for part in (str(at % 7), f"many{at:03}"))
)
_rank = numbers(0, 1, 2, -1, -2, 5, 100, -100)
_bound, _lex = _name(BOUNDS), _name(LEXES)
# Not before the range's beginning, which 7.4 counts from the end of a large value's.
_limit = st.one_of(st.just(()), st.tuples(st.just("LIMIT"), numbers(0, 1, 3), numbers(1, 2, -1)))
_scores_option = some("WITHSCORES", most=1)
_count = numbers(0, 1, 2, 5, 200, -1)


@st.composite
def _inputs(draw: st.DrawFn) -> tuple:
    """How many keys, and the keys: now and then not as many."""
    keys = draw(st.lists(_key, min_size=1, max_size=3))
    wrong = draw(st.integers(0, 15))
    return (str(len(keys) if wrong else draw(st.integers(-1, 4))), *keys)


_weights = st.one_of(
    st.just(()), st.lists(_score, min_size=1, max_size=3).map(lambda w: ("WEIGHTS", *w))
)
_aggregate = some(("AGGREGATE", "SUM"), ("AGGREGATE", "MIN"), ("AGGREGATE", "MAX"), "FOO", most=1)
_range_options = some("BYSCORE", "BYLEX", "REV", most=2)
_score_options = some("BYSCORE", "REV", most=2)
# Members of one score: among others a range by member is what the search in Redis happens upon.
_lex_key = _name(["lex:0", "lex:0", "lex:1"])
_lex_pairs = st.lists(st.tuples(st.just("0"), _member), min_size=1, max_size=6)
_lex_many = st.integers(100, 300).map(
    lambda count: tuple(part for at in range(count) for part in ("0", f"many{at:03}"))
)
_range_bound = st.one_of(_rank, _bound, _lex)

SORTED_SETS = [
    command("ZADD", _key, some("NX", "XX", "GT", "LT", "CH", "INCR"), _pairs),
    command("ZADD", _key, _pairs),
    command("ZADD", _key, _pairs),
    command("ZADD", _key, _many),
    command("ZINCRBY", _key, _score, _member),
    command("ZREM", _key, st.lists(_member, min_size=1, max_size=4)),
    command(_name(["ZSCORE", "ZRANK", "ZREVRANK"]), _key, _member),
    command("ZMSCORE", _key, st.lists(_member, min_size=1, max_size=4)),
    command("ZCARD", _key),
    command(_name(["ZPOPMIN", "ZPOPMAX"]), _key, st.lists(_count, max_size=1)),
    command(_name(["BZPOPMIN", "BZPOPMAX"]), st.lists(_key, min_size=1, max_size=3), timeouts()),
    command("BZMPOP", timeouts(), _inputs(), _name(["MIN", "MAX", "MID"]), some("COUNT", most=1)),
    command(
        "ZMPOP", _inputs(), _name(["MIN", "MAX", "MID"]), some(("COUNT", "2"), "COUNT", most=1)
    ),
    command("ZRANGE", _key, _rank, _rank, some("REV", "WITHSCORES")),
    command("ZRANGE", _key, "0", "-1", "WITHSCORES"),
    command("ZRANGE", _key, _range_bound, _range_bound, _score_options, _limit, _scores_option),
    command("ZRANGESTORE", _key, _key, _range_bound, _range_bound, _score_options, _limit),
    command("ZRANGE", _lex_key, _range_bound, _range_bound, _range_options, _limit, _scores_option),
    command("ZRANGESTORE", _key, _lex_key, _range_bound, _range_bound, _range_options, _limit),
    command("ZADD", _lex_key, _lex_pairs),
    command("ZADD", _lex_key, _lex_many),
    command("ZREM", _lex_key, st.lists(_member, min_size=1, max_size=4)),
    command("ZREVRANGE", _key, _rank, _rank, _scores_option),
    command(
        _name(["ZRANGEBYSCORE", "ZREVRANGEBYSCORE"]), _key, _bound, _bound, _scores_option, _limit
    ),
    command(_name(["ZRANGEBYLEX", "ZREVRANGEBYLEX"]), _lex_key, _lex, _lex, _limit),
    command(_name(["ZCOUNT", "ZREMRANGEBYSCORE"]), _key, _bound, _bound),
    command(_name(["ZLEXCOUNT", "ZREMRANGEBYLEX"]), _lex_key, _lex, _lex),
    command("ZREMRANGEBYRANK", _key, _rank, _rank),
    command(_name(["ZUNION", "ZINTER"]), _inputs(), _weights, _aggregate, _scores_option),
    command("ZDIFF", _inputs(), _scores_option),
    command(_name(["ZUNIONSTORE", "ZINTERSTORE"]), _key, _inputs(), _weights, _aggregate),
    command("ZDIFFSTORE", _key, _inputs()),
    command("ZINTERCARD", _inputs(), some(("LIMIT", "2"), ("LIMIT", "-1"), "LIMIT", most=1)),
    command("SADD", _key, st.lists(_member, min_size=1, max_size=4)),
    command("ZRANDMEMBER", _key, "1000000"),
    command("ZSCAN", _key, "0", "COUNT", "5000"),
]


def _scanned(reply: Reply) -> Reply:
    if reply.kind != "array":
        return reply
    cursor, items = reply.value
    return Reply("array", (cursor, unordered_pairs(shortest_doubles(items))))


def _small_sets_alike(reply: Reply) -> Reply:
    """A small set of words is a listpack in 7.4, and a hashtable in 7.0."""
    return Reply("bulk", b"listpack") if reply.value == b"hashtable" else reply


# ---- positions -----------------------------------------------------------------------------------

PLACES = [
    *("palermo 13.361389 38.115556", "catania 15.087269 37.502669", "rome 12.496366 41.902782"),
    *("quito -78.467834 -0.180653", "suva 178.441895 -18.141599", "apia -171.766663 -13.833333"),
    *("alert -62.348056 82.501667", "troll 2.535 -72.011667", "null 0 0", "east 179.999 0.5"),
    *("palermo 13.4 38.2", "catania 15.1 37.4", "rome 12.5 41.8", "suva -179.9 -18.2"),
    "null 0.001 0.002",
    *("edge 180 85.05112878", "west -179.999 0.7", "bad 181 0", "bad 0 86", "bad nan 0", "bad x 0"),
]
_place = _name(PLACES).map(lambda text: (*text.split()[1:], text.split()[0]))
_places = st.lists(_place, min_size=1, max_size=5)
_named = _name([place.split()[0] for place in PLACES] + ["nowhere"])
_unit = _name(["m", "km", "KM", "ft", "mi", "yd"])
_size = _name(["0", "1", "250.5", "1000", "9000", "30000", "1e7", "-1", "x"])
_where = st.one_of(
    st.tuples(st.just("FROMMEMBER"), _named),
    _name(PLACES).map(lambda text: ("FROMLONLAT", *text.split()[1:])),
)
_shape = st.one_of(
    st.tuples(st.just("BYRADIUS"), _size, _unit), st.tuples(st.just("BYBOX"), _size, _size, _unit)
)
_search_options = some(
    *("ASC", "DESC", ("COUNT", "3"), ("COUNT", "1", "ANY"), ("COUNT", "0"), "FOO", "ANY"), most=2
)
_with = some("WITHDIST", "WITHHASH", "WITHCOORD", most=3)
_stores = some("STOREDIST", most=1)

POSITIONS = [
    command("GEOADD", _key, some("NX", "XX", "CH", "FOO", most=1), _places),
    command("GEOADD", _key, _places),
    command("GEOADD", _key, _places),
    command(_name(["GEOPOS", "GEOHASH"]), _key, st.lists(_named, max_size=3)),
    command("GEODIST", _key, _named, _named, st.lists(_unit, max_size=1)),
    command("GEOSEARCH", _key, _where, _shape, _search_options, _with),
    command("GEOSEARCH", _key, _where, _shape, _search_options, _with),
    command("GEOSEARCHSTORE", _key, _key, _where, _shape, _search_options, _stores),
    command(
        _name(["GEORADIUSBYMEMBER", "GEORADIUSBYMEMBER_RO"]),
        _key,
        _named,
        _size,
        _unit,
        _search_options,
    ),
    command("GEORADIUS", _key, _place.map(lambda p: p[:2]), _size, _unit, _search_options, _with),
    command(
        "GEORADIUS",
        _key,
        _place.map(lambda p: p[:2]),
        _size,
        _unit,
        _name(["STORE", "STOREDIST"]),
        _key,
    ),
    command("ZRANGE", _key, "0", "-1", "WITHSCORES"),
    command("ZREM", _key, _named),
]


FIRST_SETS = [
    ("ZADD", "key:0", "1", "a", "2", "b", "2", "bb", "0.1", "c", "inf", "10"),
    ("ZADD", "key:1", *(part for member in MEMBERS[:9] for part in ("0", member))),
    ("ZADD", "lex:0", *(part for member in MEMBERS[:9] for part in ("0", member))),
]
FIRST_POSITIONS = [
    ("GEOADD", key, *place.split()[1:], place.split()[0])
    for key in KEYS[:2]
    for place in PLACES[:9]
]

FAMILIES = [
    Family(
        "sorted-sets",
        sequences_of(SORTED_SETS, FIRST_SETS),
        {"ZRANDMEMBER": unordered, "ZSCAN": _scanned, "OBJECT": _small_sets_alike},
    ),
    Family("positions", sequences_of(POSITIONS, FIRST_POSITIONS)),
]
