"""A hash with deadlines of fields as Redis 7.4 has it, in few lines of Python: random sequences are
held against it, since redis-server 7.0 has no such deadlines.

Deadlines in it are far away or have passed, so nothing depends on the time.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

Answer = object
Fields = dict[str, tuple[str, int]]  # value and deadline; 0: none

FAR_MS = 33177117420000  # in the year 3021
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


class Unordered(list):
    """An answer whose order means nothing."""


class Model:
    """Answers commands, as plain values."""

    def __init__(self) -> None:
        self.keys: dict[str, Fields | str] = {}

    def do(self, *words: str) -> Answer:
        name, key, *rest = words
        value = self.keys.get(key, {})
        if name.startswith("H") and isinstance(value, str):
            return WRONG_TYPE
        command: Callable[..., Answer] = getattr(self, f"_{name.lower()}")
        answer = command(key, *rest)
        self.keys = {key: value for key, value in self.keys.items() if value}
        return answer

    def _fields(self, key: str) -> Fields:
        fields = self.keys.setdefault(key, {})
        assert isinstance(fields, dict)
        return fields

    # ---- Fields ---------------------------------------------------------------------------------

    def _hset(self, key: str, *pairs: str) -> Answer:
        fields = self._fields(key)
        before = len(fields)
        for at in range(0, len(pairs), 2):
            fields[pairs[at]] = (pairs[at + 1], 0)
        return len(fields) - before

    def _hsetnx(self, key: str, name: str, value: str) -> Answer:
        return 0 if name in self._fields(key) else self._hset(key, name, value)

    def _hdel(self, key: str, *names: str) -> Answer:
        return sum(self._fields(key).pop(name, None) is not None for name in names)

    def _hincrby(self, key: str, name: str, step: str) -> Answer:
        value, deadline = self._fields(key).get(name, ("0", 0))
        try:
            total = int(value) + int(step)
        except ValueError:
            return "ERR hash value is not an integer"
        self._fields(key)[name] = (str(total), deadline)
        return total

    def _hincrbyfloat(self, key: str, name: str, step: str) -> Answer:
        value, deadline = self._fields(key).get(name, ("0", 0))
        try:
            total = int(value) + int(step)
        except ValueError:
            return "ERR hash value is not a float"
        self._fields(key)[name] = (str(total), deadline)
        return str(total)

    def _hget(self, key: str, name: str) -> Answer:
        return self._fields(key).get(name, (None, 0))[0]

    def _hmget(self, key: str, *names: str) -> Answer:
        return [self._hget(key, name) for name in names]

    def _hexists(self, key: str, name: str) -> Answer:
        return int(name in self._fields(key))

    def _hstrlen(self, key: str, name: str) -> Answer:
        return len(self._fields(key).get(name, ("", 0))[0])

    def _hlen(self, key: str) -> Answer:
        return len(self._fields(key))

    def _hkeys(self, key: str) -> Answer:
        return Unordered(self._fields(key))

    def _hvals(self, key: str) -> Answer:
        return Unordered(value for value, _ in self._fields(key).values())

    def _hgetall(self, key: str) -> Answer:
        return Unordered([x for n, (v, _) in self._fields(key).items() for x in (n, v)])

    def _hrandfield(self, key: str, count: str) -> Answer:
        assert int(count) > 1000
        return self._hkeys(key)

    # ---- Deadlines ------------------------------------------------------------------------------

    def _set_deadlines(self, key: str, deadline: int, words: tuple[str, ...]) -> Answer:
        condition = words[0] if words[0] != "FIELDS" else ""
        names = words[words.index("FIELDS") + 2 :]
        return [self._set_deadline(key, name, deadline, condition) for name in names]

    def _set_deadline(self, key: str, name: str, deadline: int, condition: str) -> int:
        fields = self._fields(key)
        if name not in fields:
            return -2
        value, current = fields[name]
        allowed = {
            "": True,
            "NX": not current,
            "XX": bool(current),
            "GT": bool(current) and deadline > current,
            "LT": not current or deadline < current,
        }
        if not allowed[condition]:
            return 0
        if deadline < FAR_MS:
            del fields[name]
            return 2
        fields[name] = (value, deadline)
        return 1

    def _hpexpireat(self, key: str, deadline: str, *words: str) -> Answer:
        return self._set_deadlines(key, int(deadline), words)

    def _hexpireat(self, key: str, deadline: str, *words: str) -> Answer:
        return self._set_deadlines(key, int(deadline) * 1000, words)

    def _hpersist(self, key: str, _fields: str, _count: str, *names: str) -> Answer:
        answers = []
        for name in names:
            value, deadline = self._fields(key).get(name, ("", -1))
            answers.append(-2 if deadline < 0 else 1 if deadline else -1)
            if deadline > 0:
                self._fields(key)[name] = (value, 0)
        return answers

    def _hpexpiretime(self, key: str, _fields: str, _count: str, *names: str) -> Answer:
        deadlines = [self._fields(key).get(name, ("", -2))[1] for name in names]
        return [deadline or -1 for deadline in deadlines]

    def _hexpiretime(self, key: str, *words: str) -> Answer:
        answers = self._hpexpiretime(key, *words)
        assert isinstance(answers, list)
        return [-(-answer // 1000) if answer > 0 else answer for answer in answers]

    # ---- Keys -----------------------------------------------------------------------------------

    def _del(self, key: str) -> Answer:
        return int(bool(self.keys.pop(key, None)))

    def _set(self, key: str, value: str) -> Answer:
        self.keys[key] = value
        return "OK"

    def _copy(self, key: str, other: str, _replace: str) -> Answer:
        if key == other:
            return "ERR source and destination objects are the same"
        if key not in self.keys:
            return 0
        value = self.keys[key]
        self.keys[other] = value if isinstance(value, str) else dict(value)
        return 1

    def _rename(self, key: str, other: str) -> Answer:
        if key not in self.keys:
            return "ERR no such key"
        self.keys[other] = self.keys.pop(key)
        return "OK"

    def _pexpireat(self, key: str, _deadline: str) -> Answer:
        return int(key in self.keys)


# ---- Random commands ----------------------------------------------------------------------------

KEYS = ["0", "1", "2"]
NAMES = [*"abcdef", "m" * 70, "n" * 900]
VALUES = ["1", "-7", "x", "", "v" * 65, "w" * 500, "y" * 1100]
DEADLINES = [0, 1, 1000, FAR_MS, FAR_MS + 1, FAR_MS + 1000, FAR_MS + 1001]

Words = tuple[str, ...]

_key = st.sampled_from(KEYS)
_name = st.sampled_from(NAMES)
_value = st.sampled_from(VALUES)
_condition = st.sampled_from([(), (), ("NX",), ("XX",), ("GT",), ("LT",)])
_many = st.integers(20, 200).map(lambda count: tuple(f"many{at}" for at in range(count)))
_names = st.one_of(st.lists(_name, min_size=1, max_size=6).map(tuple), _many)


def _flat(*parts: st.SearchStrategy) -> st.SearchStrategy[Words]:
    """Joins words and tuples of words."""
    return st.tuples(*parts).map(
        lambda drawn: tuple(
            word for part in drawn for word in ((part,) if isinstance(part, str) else part)
        )
    )


def _word(*words: str) -> st.SearchStrategy[str]:
    return st.sampled_from(words)


_pairs = st.one_of(
    st.lists(st.tuples(_name, _value), min_size=1, max_size=4),
    _many.map(lambda names: [(name, name) for name in names]),
).map(lambda pairs: tuple(word for pair in pairs for word in pair))
_fields = _names.map(lambda names: ("FIELDS", str(len(names)), *names))
_ms = st.sampled_from([str(deadline) for deadline in DEADLINES])
_s = st.sampled_from([str(deadline // 1000) for deadline in DEADLINES])

COMMAND: st.SearchStrategy[Words] = st.one_of(
    _flat(_word("HSET"), _key, _pairs),
    _flat(_word("HSET"), _key, _pairs),
    _flat(_word("HSETNX"), _key, _name, _value),
    _flat(_word("HDEL"), _key, _names),
    _flat(_word("HINCRBY", "HINCRBYFLOAT"), _key, _name, _word("1", "-3")),
    _flat(_word("HGET", "HEXISTS", "HSTRLEN"), _key, _name),
    _flat(_word("HMGET"), _key, _names),
    _flat(_word("HLEN", "HKEYS", "HVALS", "HGETALL"), _key),
    _flat(_word("HRANDFIELD"), _key, _word("100000")),
    _flat(_word("HPEXPIREAT"), _key, _ms, _condition, _fields),
    _flat(_word("HPEXPIREAT"), _key, _ms, _condition, _fields),
    _flat(_word("HPEXPIREAT"), _key, _ms, _condition, _fields),
    _flat(_word("HEXPIREAT"), _key, _s, _condition, _fields),
    _flat(_word("HPERSIST", "HPEXPIRETIME", "HEXPIRETIME"), _key, _fields),
    _flat(_word("COPY"), _key, _key, _word("REPLACE")),
    _flat(_word("RENAME"), _key, _key),
    _flat(_word("DEL"), _key),
    _flat(_word("SET"), _key, _word("v")),
    _flat(_word("PEXPIREAT"), _key, _word(str(FAR_MS))),
)

SEQUENCES = st.lists(COMMAND, min_size=1, max_size=60)
