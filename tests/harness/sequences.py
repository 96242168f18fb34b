"""Hypothesis strategies for command sequences, and their comparison between two servers.

Few keys, few values, many near-misses: wrong numbers, clashing options, odd arities. Times to
live are either far away or already past, so that no answer depends on when it is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from harness.cases import mask_remaining
from harness.client import Connection
from harness.resp import Argument, Reply, render
from harness.strategies import command as _command

Sequence = list[tuple[bool, list[tuple[Argument, ...]]]]

KEYS = [f"key:{i}" for i in range(6)] + ["", "a key", b"\x00\xff\r\n"]
VALUES = [
    "",
    "0",
    "1",
    "-1",
    "10",
    "9223372036854775806",
    "9223372036854775807",
    "text",
    " 1",
    "+5",
]
FAR = ["100000", "200000", "+100000", "1e5", "abc", "", "0", "-1", "9223372036854775807"]
FAR_DATES = ["33177117420", "33177117420000", "1", "0", "x", "9223372036854775808"]

FLOATS = ["0", "1.5", "-0.1", "3.0e3", "1e-17", "1e5000", "inf", "nan", "x", "", " 1", "0x10"]
OFFSETS = ["0", "1", "3", "-1", "-3", "700", "-700", "x", "", "9223372036854775807"]
DATABASES = ["0", "1", "15", "16", "-1", "x"]

_key = st.sampled_from(KEYS)
_value = st.one_of(st.sampled_from(VALUES), st.binary(max_size=80))
_keys = st.lists(_key, min_size=1, max_size=7)

_set_option = st.one_of(
    st.sampled_from([("NX",), ("XX",), ("GET",), ("KEEPTTL",), ("get",), ("Nx",), ("FOO",)]),
    st.tuples(st.sampled_from(["EX", "PX", "ex"]), st.sampled_from(FAR)),
    st.tuples(st.sampled_from(["EXAT", "PXAT", "pxat"]), st.sampled_from(FAR_DATES)),
)
_lcs_option = st.one_of(
    st.sampled_from([("LEN",), ("IDX",), ("WITHMATCHLEN",), ("FOO",)]),
    st.tuples(st.just("MINMATCHLEN"), st.sampled_from(["0", "2", "-1", "x"])),
)
# GT and LT compare with a deadline of before, and one that was relative then is a matter of the
# millisecond: they are for dates.
_expire_option = st.sampled_from([("NX",), ("XX",), ("nx",), ("FOO",)])
_date_option = st.sampled_from([("NX",), ("XX",), ("GT",), ("LT",), ("gt",), ("FOO",)])

_copy_option = st.one_of(
    st.sampled_from([("REPLACE",), ("DB",), ("FOO",)]),
    st.tuples(st.just("DB"), st.sampled_from(DATABASES)),
)


_name = st.sampled_from
_set_options = st.lists(_set_option, max_size=3)
_few = st.lists(_value, max_size=3)

_COMMANDS = [
    _command("SET", _key, _value, _set_options),
    _command("SET", _key, _value),
    _command(_name(["GET", "get"]), _key),
    _command("INCR", _key),
    _command("MGET", _keys),
    _command("MSET", st.lists(st.tuples(_key, _value), min_size=1, max_size=5)),
    _command("MSET", _keys),
    _command(_name(["DEL", "EXISTS"]), _keys),
    _command("EXPIRE", _key, st.sampled_from(FAR), st.lists(_expire_option, max_size=2)),
    _command(
        "PEXPIRE",
        _key,
        st.sampled_from(["900000000", *FAR[3:]]),
        st.lists(_expire_option, max_size=2),
    ),
    _command(_name(["TTL", "PTTL"]), _key),
    _command(
        _name(["EXPIREAT", "PEXPIREAT"]),
        _key,
        st.sampled_from(["33177117421", "33177117420001", *FAR_DATES]),
        st.lists(_date_option, max_size=2),
    ),
    _command(_name(["EXPIRETIME", "PERSIST", "TYPE"]), _key),
    _command("OBJECT", _name(["ENCODING", "encoding"]), _key),
    _command(_name(["UNLINK", "TOUCH"]), _keys),
    _command(_name(["RENAME", "RENAMENX"]), _key, _key),
    _command("COPY", _key, _key, st.lists(_copy_option, max_size=2)),
    _command("MOVE", _key, st.sampled_from(DATABASES)),
    _command("SWAPDB", st.sampled_from(DATABASES), st.sampled_from(DATABASES)),
    _command(_name(["INCRBY", "DECRBY"]), _key, _value),
    _command("DECR", _key),
    _command("INCRBYFLOAT", _key, st.sampled_from(FLOATS)),
    _command(_name(["APPEND", "SETNX", "GETSET"]), _key, _value),
    _command("SETRANGE", _key, st.sampled_from(OFFSETS), _value),
    _command(
        _name(["GETRANGE", "SUBSTR"]), _key, st.sampled_from(OFFSETS), st.sampled_from(OFFSETS)
    ),
    _command(_name(["STRLEN", "GETDEL"]), _key),
    _command("SETEX", _key, st.sampled_from(FAR), _value),
    _command("PSETEX", _key, st.sampled_from(["900000000", *FAR[3:]]), _value),
    _command("GETEX", _key, st.lists(st.one_of(_set_option, st.just(("PERSIST",))), max_size=2)),
    _command("MSETNX", st.lists(st.tuples(_key, _value), min_size=1, max_size=3)),
    _command("LCS", _key, _key, st.lists(_lcs_option, max_size=3)),
    _command(_name(["DBSIZE", "PING", "FLUSHDB"])),
    _command("SELECT", st.sampled_from(["0", "1", "15", "16", "-1", "x"])),
    _command(_name(["ECHO", "PING"]), _value),
    _command("CLIENT", _name(["GETNAME", "SETNAME", "setname"]), _few),
    _command(
        _name(["GET", "SET", "INCR", "TTL", "MGET", "EXPIRE", "ECHO", "NOPE", "DBSIZE"]), _few
    ),
    _command("HELLO", _name(["4", "x", "3 "]), _few),
]

commands = st.one_of(_COMMANDS)

# Steps of (in one write or one by one, commands).
sequences = st.lists(
    st.tuples(st.booleans(), st.lists(commands, min_size=1, max_size=12)), min_size=1, max_size=6
)

_MASKS = {
    "TTL": mask_remaining(1000),
    "PTTL": mask_remaining(1),
    "EXPIRETIME": mask_remaining(1000),
}


@dataclass
class Played:
    command: tuple
    reply: Reply


def play_sequence(
    connection: Connection,
    sequence: Sequence,
    protocol: int,
    mask: Callable[[tuple, Reply], Reply] | None = None,
) -> list[Played]:
    """Plays a sequence on a flushed server, and returns each command with its masked reply."""
    mask = mask or mask_of_keys
    connection.pipeline([("FLUSHALL",), ("SELECT", "0"), ("CLIENT", "SETNAME", "")])
    connection.do("HELLO", protocol)
    played = []
    for at_once, batch in sequence:
        replies = connection.pipeline(batch) if at_once else [connection.do(*c) for c in batch]
        played += [Played(c, mask(c, r)) for c, r in zip(batch, replies, strict=True)]
    return played


def mask_of_keys(command: tuple, reply: Reply) -> Reply:
    mask = _MASKS.get(command[0])
    return mask(reply) if mask else reply


def first_difference(ours: list[Played], theirs: list[Played]) -> str | None:
    """What differs first, with what went before, or None."""
    for at, (mine, expected) in enumerate(zip(ours, theirs, strict=True)):
        if mine.reply != expected.reply:
            before = "\n".join(f"  {p.command} -> {render(p.reply)}" for p in theirs[:at])
            replies = f"  ours:  {render(mine.reply)}\n  redis: {render(expected.reply)}"
            return f"{mine.command}\n{replies}\nafter\n{before}"
    return None
