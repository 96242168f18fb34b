"""Random sequences of commands on hashes with deadlines of fields answer as the model does, on
every configuration, in both protocols: redis-server 7.0 has no such deadlines."""

from __future__ import annotations

import pytest
from harness.client import Connection
from harness.field_model import KEYS, SEQUENCES, Model, Unordered, Words
from harness.process import Server
from harness.resp import Reply
from hypothesis import HealthCheck, given, settings

EXAMPLES = 60
LONG_EXAMPLES = 3000


def _plain(reply: Reply) -> object:
    kind, value = reply
    if kind == "map":
        return [_plain(item) for pair in value for item in pair]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


def _check(words: Words, mine: object, expected: object) -> None:
    if isinstance(expected, Unordered):
        assert isinstance(mine, list), words
        pairs = words[0] == "HGETALL"
        assert _sorted(mine, pairs) == _sorted(expected, pairs), words
    else:
        assert mine == expected, words


def _sorted(items: list, pairs: bool) -> list:
    return sorted(zip(items[::2], items[1::2], strict=True)) if pairs else sorted(items)


def _play(connection: Connection, keys: list[str], sequence: list[Words]) -> int:
    model = Model()
    connection.do("DEL", *keys)
    commands = [*sequence, *(("HGETALL", key) for key in KEYS)]
    for words in commands:
        expected = model.do(*words)
        sent = [keys[int(word)] if _is_key(words, at) else word for at, word in enumerate(words)]
        _check(words, _plain(connection.do(*sent)), expected)
    hashes = [(key, tuple(value)) for key, value in model.keys.items() if isinstance(value, dict)]
    for key, fields in hashes:
        words = ("HPEXPIRETIME", key, "FIELDS", str(len(fields)), *fields)
        reply = connection.do("HPEXPIRETIME", keys[int(key)], *words[2:])
        _check(words, _plain(reply), model.do(*words))
    return len(commands)


def _is_key(words: Words, at: int) -> bool:
    return at == 1 or (at == 2 and words[0] in ("COPY", "RENAME"))


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.timeout(600)
def test_field_sequences(ours: Server, protocol: int, long_run: bool) -> None:
    examples = LONG_EXAMPLES if long_run else EXAMPLES
    keys = ours.spread(len(KEYS))
    played = 0
    with ours.connect() as connection:
        connection.do("HELLO", protocol)

        @settings(
            max_examples=examples,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(SEQUENCES)
        def compare(sequence: list[Words]) -> None:
            nonlocal played
            played += _play(connection, keys, sequence)

        compare()
    assert played >= examples
