"""Random sequences for bits of strings: few keys on several shards, a key of another type,
deadlines that pass between two commands, near-misses of every argument.

BITCOUNT and BITPOS get no wrong ranges: 7.0 does not look at them if there is no string.
"""

from __future__ import annotations

from hypothesis import strategies as st

from harness.ordered_sequences import KEYS, Family, numbers, sequences_of, some
from harness.strategies import command

STRINGS = ["", "a", "1", "12345", b"\x00", b"\xff" * 3, b"\x00" * 40, b"\xff" * 100, "x" * 600]
STRINGS += [bytes(range(256)) * 20]
WIDTHS = [1, 2, 3, 5, 8, 13, 31, 32, 33, 62, 63]
TYPES = [f"{sign}{width}" for sign in "ui" for width in WIDTHS] + ["i64"]
SMALLEST, LARGEST = -(2**63), 2**63 - 1

_name = st.sampled_from
_key = _name(KEYS)
_keys = st.lists(_key, min_size=1, max_size=4)
_offset = st.one_of(
    st.integers(0, 200).map(str),
    numbers(0, 7, 8, 63, 64, 320, 4000, 4790, 5000, 40959, 40960, 8388608, -1, 4294967296),
)
_bit = _name(["0", "1"] * 6 + ["2", "x", "", "-1"])
_index = st.one_of(
    st.integers(-50, 50).map(str), _name(["0", "-1", "600", "-4000", str(SMALLEST), str(LARGEST)])
)
_range = st.tuples(_index, _index)
_unit = some("BYTE", "BIT", "bit", most=1)
_bounds = st.one_of(st.just(()), st.tuples(_range, _unit))
_bounds_of_search = st.one_of(_bounds, _index)

_type = _name(TYPES * 4 + ["u64", "u0", "i65", "x8", "i", ""])
_place = st.one_of(_offset, st.integers(0, 40).map(lambda at: f"#{at}"), _name(["#", "#-1", "#x"]))
_number = st.one_of(
    st.integers(-300, 300).map(str),
    st.integers(SMALLEST, LARGEST).map(str),
    numbers(0, 1, -1, 127, 128, SMALLEST, LARGEST, SMALLEST + 127, SMALLEST + 128, 2**32 - 1),
)
_field_get = st.tuples(_name(["GET", "get"]), _type, _place)
_field_change = st.tuples(_name(["SET", "INCRBY", "incrby"]), _type, _place, _number)
_overflow = st.tuples(st.just("OVERFLOW"), _name(["WRAP", "SAT", "FAIL", "fail"] * 4 + ["FOO"]))
_fields = st.lists(st.one_of(_field_get, _field_change, _field_change, _overflow), max_size=6)

BITS = [
    command("SETBIT", _key, _offset, _bit),
    command("SETBIT", _key, st.integers(0, 300).map(str), _name(["0", "1"])),
    command("GETBIT", _key, _offset),
    command("BITCOUNT", _key, _bounds),
    command("BITPOS", _key, _bit, _bounds_of_search),
    command("BITPOS", _key, _name(["0", "1"]), _bounds_of_search),
    command("BITOP", _name(["AND", "OR", "XOR", "xor"]), _key, _keys),
    command("BITOP", _name(["NOT", "not", "AND", "NAND"]), _key, _key),
    command("BITOP", _name(["NOT", "AND"]), _key, _keys),
    command("BITFIELD", _key, _fields),
    command("BITFIELD", _key, _fields),
    command("BITFIELD_RO", _key, st.lists(_field_get, max_size=3)),
    command("BITFIELD_RO", _key, _fields),
    command("SET", _key, _name(STRINGS)),
    command("APPEND", _key, _name(STRINGS)),
    command("SADD", _key, "1"),
    command(_name(["GET", "STRLEN", "INCR"]), _key),
    command("OBJECT", "ENCODING", _key),
]

FIRST_BITS = [("SET", "key:0", STRINGS[-1]), ("SET", "key:1", "12345"), ("SADD", "key:2", "1")]

FAMILIES = [Family("bitmaps", sequences_of(BITS, FIRST_BITS))]
