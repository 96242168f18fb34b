"""Random sequences for HyperLogLogs: few keys on several shards, sparse and dense ones, keys of
other types, deadlines that pass between two commands. GET sees every byte of the values.

Runs are not written into: elements before one that fails stay in redis-server, and the wire cases
have it.
"""

from __future__ import annotations

from hypothesis import strategies as st

from harness.ordered_sequences import KEYS, Family, sequences_of
from harness.strategies import command

_key = st.sampled_from(KEYS)
_keys = st.lists(_key, max_size=4)
_element = st.one_of(st.integers(0, 3000).map(str), st.binary(max_size=40))
_elements = st.lists(_element, max_size=8)
_count = st.sampled_from([60, 300, 300, 1200, 3000])
_many = st.tuples(st.integers(0, 5000), _count).map(
    lambda drawn: tuple(map(str, range(drawn[0], sum(drawn))))
)
_word = st.sampled_from(["DECODE", "ENCODING", "GETREG", "TODENSE", "todense", "FOO"])
_outside = st.sampled_from(["0", "3", "5", "7", "8", "14", "15"])
_byte = st.sampled_from([b"\x00", b"\x01", b"\x7f", b"\x80", b"H", b"L"])

HYPERLOGLOGS = [
    command("PFADD", _key, _elements),
    command("PFADD", _key, _elements),
    command("PFADD", _key, _many),
    command("PFCOUNT", _key),
    command("PFCOUNT", _key, _keys),
    command("PFMERGE", _key, _keys),
    command("PFMERGE", _key, _keys),
    command("PFDEBUG", _word, _key),
    command("GET", _key),
    command("GET", _key),
    command("SETRANGE", _key, _outside, _byte),
    command("DEL", _key),
]

FIRST = [
    ("PFADD", "key:0", "a", "b", "c"),
    ("PFADD", "key:1", *map(str, range(3000))),
    ("PFADD", "key:2", *map(str, range(100, 500))),
]

FAMILIES = [Family("hyperloglog", sequences_of(HYPERLOGLOGS, FIRST))]
