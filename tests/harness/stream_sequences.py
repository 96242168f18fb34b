"""Random sequences for streams: few keys on several shards, nodes of few entries that change their
size on the way, ids that are often too small.

What 7.4 answers otherwise than the oracle is kept out of them; the wire cases have it.
"""

from __future__ import annotations

from hypothesis import strategies as st

from harness.cases import MASKED
from harness.ordered_sequences import KEYS, Family, numbers, sequences_of, some
from harness.resp import Reply
from harness.strategies import command

# What <ms>-* gives is known, so that it can be found again.
IDS = [f"1-{at}" for at in range(1, 30)] + [f"2-{at}" for at in range(8)] + ["3-0", "3-1", "7", "2"]
NEW_IDS = ["1-*"] * 12 + ["2-*"] * 6 + ["3-*"] * 2 + ["7-*", "7-5", "2", "0-*", "1-9", "2-3"]
BAD_IDS = ["0-0", "x", "", "1-1-1", "-1", "18446744073709551616", "1-+3", " 2-0", "02-01"]
# Above all that is ever deleted.
LAST_IDS = [
    ("9000-1",),
    ("9000-1", "ENTRIESADDED", "77"),
    ("9000-1", "MAXDELETEDID", "2-5"),
    ("x",),
]

_name = st.sampled_from
_key = _name([*KEYS[:2] * 3, *KEYS[2:]])
_id = _name(IDS * 2 + BAD_IDS)
_ids = st.lists(_id, min_size=1, max_size=5)
_from = _name(["-", "-", "0", *IDS[::4], *(f"({i}" for i in IDS[::9]), "+", "x", "(x"])
_to = _name(["+", "+", *IDS[::4], *(f"({i}" for i in IDS[::9]), "-", ""])
_limit = some(("LIMIT", "0"), ("LIMIT", "3"), ("LIMIT", "8"), ("LIMIT", "-1"), "LIMIT", most=1)
_trim = st.one_of(
    st.tuples(st.just("MAXLEN"), some("=", most=1), numbers(0, 1, 3, 8, 20, -1)),
    st.tuples(st.just("MINID"), some("=", most=1), _id),
    st.tuples(st.just("MAXLEN"), st.just("~"), numbers(0, 1, 3, 8, 12, 20), _limit),
    st.tuples(st.just("MINID"), st.just("~"), _id, _limit),
)
_value = _name(["v", "1", "-77", "", "x" * 200, "70000", "9223372036854775807", "007", "y" * 1500])
_field = st.tuples(_name(["f", "g", "", "long" * 20, "128"]), _value)
_fields = st.one_of(
    st.just(("f", "v")), st.just(("f", "1", "g", "v")), st.lists(_field, min_size=1, max_size=4)
)
_option = some("NOMKSTREAM", most=1)
_count = st.one_of(st.just(()), st.tuples(st.just("COUNT"), numbers(0, 1, 2, 10, -1)))
_reads = st.lists(st.tuples(_key, st.one_of(_id, st.just("$"))), min_size=1, max_size=3).map(
    lambda pairs: ("STREAMS", *(key for key, _ in pairs), *(id_ for _, id_ in pairs))
)
# Of those that no clock can tell the end of, 7.0 waits for ever.
_block = _name(["1", "2", "5"] * 4 + ["x", "", "-1", "1.5"])
_node = st.one_of(
    st.tuples(st.just("stream-node-max-entries"), _name(["4", "4", "3", "9", "1", "0"])),
    st.tuples(st.just("stream-node-max-bytes"), _name(["4096", "4096", "2048", "0"])),
)

STREAMS = [
    *[command("XADD", _key, _name(NEW_IDS), _fields)] * 5,
    command("XADD", _key, _option, _name(NEW_IDS + BAD_IDS), _fields),
    command("XADD", _key, _option, _trim, _name(NEW_IDS + BAD_IDS), _fields),
    command("XTRIM", _key, _trim),
    *[command("XDEL", _key, _ids)] * 3,
    command("XLEN", _key),
    command("XRANGE", _key, _from, _to, _count),
    command("XREVRANGE", _key, _to, _from, _count),
    command("XREAD", _count, _reads),
    command("XREAD", "BLOCK", _block, _count, _reads),
    command("XSETID", _key, _name(LAST_IDS)),
    *[command("XINFO", "STREAM", _key)] * 3,
    command("CONFIG", "SET", _node),
]


def _without_tree_nodes(reply: Reply) -> Reply:
    """The nodes of Redis's radix tree; its keys are compared."""
    if reply.kind == "map":
        return Reply(
            "map",
            tuple((k, MASKED if k.value == b"radix-tree-nodes" else v) for k, v in reply.value),
        )
    if reply.kind != "array":
        return reply
    items = list(reply.value)
    for at in range(1, len(items)):
        if items[at - 1].value == b"radix-tree-nodes":
            items[at] = MASKED
    return Reply("array", tuple(items))


FIRST = [
    ("CONFIG", "SET", "stream-node-max-entries", "4"),
    ("CONFIG", "SET", "stream-node-max-bytes", "4096"),
    *(("XADD", KEYS[0], "1-*", "f", str(at)) for at in range(14)),
    *(("XADD", KEYS[1], "1-*", "f", "v", "g", str(at)) for at in range(5)),
]

AFTER = ("CONFIG", "SET", "stream-node-max-entries", "100", "stream-node-max-bytes", "4096")

FAMILIES = [
    Family("streams", sequences_of(STREAMS, FIRST), {"XINFO": _without_tree_nodes}, [AFTER]),
]
