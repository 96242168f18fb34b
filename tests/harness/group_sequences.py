"""Random sequences for consumer groups: a few groups and consumers on keys of several shards,
entries that are deleted while they are pending, claims, near-misses of every argument.

7.0 makes no consumer where nothing is read or claimed, so those who read are there from the
beginning, and one that is deleted comes back at once.
"""

from __future__ import annotations

from hypothesis import strategies as st

from harness.cases import mask_stream
from harness.ordered_sequences import KEYS, Family, numbers, some
from harness.sequences import Sequence
from harness.strategies import command

IDS = [f"{at}-{seq}" for at in range(1, 16) for seq in (0, 1, 5)] + ["7", "12"]
BAD_IDS = ["0-0", "x", "", "1-1-1", "-1", "18446744073709551616", "-", "+", "$", ">"]
GROUPS = ["g", "h", ""]
CONSUMERS = ["alice", "bob", ""]

_key = st.sampled_from([*KEYS[:3], *KEYS])
_group = st.sampled_from(["g"] * 8 + ["h"] * 2 + ["", "none"])
_consumer = st.sampled_from(CONSUMERS)
_anybody = st.sampled_from([*CONSUMERS, "nobody"])
_id = st.sampled_from(IDS * 3 + BAD_IDS)
_ids = st.lists(_id, min_size=1, max_size=6)
_known = st.lists(st.sampled_from(IDS), min_size=1, max_size=8)
_from = st.sampled_from(["-", "-", "0", *IDS[::4], *(f"({at}" for at in IDS[::9]), "+", "x", "(x"])
_to = st.sampled_from(["+", "+", *IDS[::4], *(f"({at}" for at in IDS[::9]), "-", ""])
_count = st.one_of(st.just(()), st.tuples(st.just("COUNT"), numbers(0, 1, 2, 10, -1)))
_idle = st.sampled_from(["0", "0", "0", "1000000000", "x", "-1"])
_options = some(
    *("FORCE", "FORCE", "JUSTID", ("IDLE", "100000"), ("RETRYCOUNT", "5"), ("RETRYCOUNT", "-1")),
    *(("TIME", "1000"), ("TIME", "-1"), ("LASTID", "9-1"), ("LASTID", "x"), "FOO", "IDLE"),
)
# XREADGROUP has an error of its own for "+" since 7.4.
_read_from = _id.filter(lambda word: word != "+")
_read = st.tuples(_key, st.one_of(st.just(">"), st.just(">"), st.just("0"), _read_from))
_reads = st.lists(_read, min_size=1, max_size=3).map(
    lambda pairs: ("STREAMS", *(key for key, _ in pairs), *(id_ for _, id_ in pairs))
)
_block = st.sampled_from(["1", "2", "5"] * 4 + ["x", "", "-1", "1.5"])
_place = st.sampled_from(["0", "0", "$", "3-1", "9", "x", "-", "18446744073709551615-1"])
_read_so_far = some(("ENTRIESREAD", "2"), ("ENTRIESREAD", "-1"), "ENTRIESREAD", most=1)

COMMANDS = [
    command("XADD", _key, st.integers(1, 15).map(lambda at: f"{at}-*"), "f", "v"),
    command("XADD", _key, st.sampled_from(IDS), "f", "v", "g", "w"),
    command("XDEL", _key, _known),
    command("XTRIM", _key, "MAXLEN", st.sampled_from(["0", "2", "8"])),
    command("XTRIM", _key, "MINID", st.sampled_from(IDS)),
    command("XREADGROUP", "GROUP", "g", _consumer, "COUNT", numbers(1, 3), "STREAMS", _key, ">"),
    command("XREADGROUP", "GROUP", "g", _consumer, "STREAMS", _key, "0"),
    command("XREADGROUP", "GROUP", _group, _consumer, _count, some("NOACK", most=1), _reads),
    command("XREADGROUP", _count, "NOACK", "GROUP", _group, _consumer, _reads),
    command("XREADGROUP", "BLOCK", _block, "GROUP", _group, _consumer, _count, _reads),
    command("XACK", _key, _group, _known),
    command("XACK", _key, _group, _ids),
    command("XPENDING", _key, _group),
    command("XPENDING", _key, "g", "-", "+", "100"),
    command(
        *("XPENDING", _key, _group, some(("IDLE", "0"), ("IDLE", "50000"), most=1)),
        *(_from, _to, numbers(1, 5, 100), st.lists(_anybody, max_size=1)),
    ),
    command("XCLAIM", _key, "g", _consumer, "0", _known, _options),
    command("XCLAIM", _key, _group, _consumer, _idle, _ids, _options),
    command("XAUTOCLAIM", _key, "g", _consumer, "0", _from, _count, some("JUSTID", most=1)),
    command("XAUTOCLAIM", _key, _group, _consumer, _idle, _from, _count),
    command("XGROUP", "SETID", _key, _group, _place, _read_so_far),
    command("XGROUP", "CREATECONSUMER", _key, _group, _anybody),
    command("XINFO", "GROUPS", _key),
    command("XINFO", "CONSUMERS", _key, _group),
    command("XINFO", "STREAM", _key, "FULL", _count),
    command(st.sampled_from(["COPY", "RENAME"]), _key, _key),
]


def _made(key: str | bytes, group: str, place: str, options: list[str]) -> list[tuple]:
    make = ("XGROUP", "CREATE", key, group, place, *options)
    return [make, *(("XGROUP", "CREATECONSUMER", key, group, name) for name in CONSUMERS)]


def _renewed(key: str | bytes, group: str, name: str) -> list[tuple]:
    return [("XGROUP", part, key, group, name) for part in ("DELCONSUMER", "CREATECONSUMER")]


STEPS = [
    *(kind.map(lambda words: [words]) for kind in COMMANDS),
    st.builds(_made, _key, _group, _place, some("MKSTREAM", most=1)),
    st.builds(_made, _key, st.just("g"), st.just("0"), st.just(["MKSTREAM"])),
    st.builds(_renewed, _key, _group, _consumer),
    command("XGROUP", "DESTROY", _key, st.sampled_from(GROUPS[1:])).map(lambda words: [words]),
]
# What has nothing to do with groups is seldom.
OTHERS = [
    _key.map(lambda key: [("PEXPIRE", key, "1"), ("DEBUG", "SLEEP", "0.002")]),
    _key.map(lambda key: [("DEL", key)]),
    _key.map(lambda key: [("SET", key, "a string")]),
]


def _first() -> list[tuple]:
    words = [line for key in KEYS[:3] for line in _made(key, "g", "0", ["MKSTREAM"])]
    words += [("XADD", key, f"{at}-0", "f", "v") for at in range(1, 9) for key in KEYS[:2]]
    words += [
        ("XREADGROUP", "GROUP", "g", "bob", "COUNT", "5", "STREAMS", key, ">") for key in KEYS[:2]
    ]
    return words


def _sequences() -> st.SearchStrategy[Sequence]:
    step = st.integers(0, 23).flatmap(lambda n: st.one_of(OTHERS if n == 23 else STEPS))
    batch = st.lists(step, min_size=1, max_size=16).map(lambda steps: [w for s in steps for w in s])
    batches = st.lists(st.tuples(st.booleans(), batch), min_size=1, max_size=6)
    return batches.map(lambda rest: [(True, _first()), *rest])


FAMILIES = [
    Family("consumer-groups", _sequences(), {"XINFO": mask_stream, "XPENDING": mask_stream})
]
