"""Random data of all types as commands, small and large, in every form that a server has for it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from harness.resp import Argument

Command = tuple[Argument, ...]

EACH = 6
DATABASES = (0, 1, 9, 15)
# Elements, fields, members: few in a packed form, and more than any packed form may hold.
COUNTS = (1, 2, 5, 40, 130, 200, 700)
NUMBERS = (0, 1, -1, 12, 13, 127, 128, -128, -129, 255, 32767, 32768, -32769, 8388607, -8388609)
NUMBERS += (2147483647, 2147483648, -2147483649, 9223372036854775807, -9223372036854775808)
SCORES: tuple[Argument, ...] = (0, -1, 1.5, "inf", "-inf", "1e300", "-0.1", 17179869184.5, 3)
LENGTHS = (0, 1, 11, 20, 21, 63, 64, 65, 255, 256, 4095, 4096, 16383, 16384, 40000)


class RandomData:
    def __init__(self, seed: str) -> None:
        self._choose = random.Random(seed)

    def commands(self) -> Iterator[Command]:
        """With SELECTs between; afterwards the database is another one."""
        makers: list[Callable[[bytes, int], Iterator[Command]]] = [
            self._string,
            self._list,
            self._set,
            self._sorted_set,
            self._hash,
            self._stream,
            self._hyperloglog,
        ]
        for database in DATABASES:
            yield ("SELECT", database)
            for maker in makers:
                for at, count in enumerate(self._choose.choices(COUNTS, k=EACH)):
                    key = b"%s:%d:" % (maker.__name__.encode(), at) + self._blob(20)
                    yield from maker(key, count)
                    yield from self._deadline(key)

    def _deadline(self, key: bytes) -> Iterator[Command]:
        if self._choose.random() < 0.3:
            yield ("PEXPIREAT", key, self._choose.choice([9_999_999_999_999, 4_000_000_000_123]))

    # ---- Parts -----------------------------------------------------------------------------------

    def _blob(self, length: int) -> bytes:
        """Bytes that a compressor makes little of, or much."""
        if self._choose.random() < 0.5:
            return self._choose.randbytes(length)
        return (self._choose.randbytes(3) * (length // 3 + 1))[:length]

    def _value(self, most: int = 40000) -> bytes:
        kind = self._choose.random()
        if kind < 0.35:
            return b"%d" % self._choose.choice(NUMBERS)
        if kind < 0.4:
            return self._choose.choice([b"007", b"-0", b" 1", b"1.0", b"9223372036854775808", b""])
        if kind < 0.7:
            return b"text %d" % self._choose.randrange(10**6)
        return self._blob(self._choose.choice([length for length in LENGTHS if length <= most]))

    def _values(self, count: int) -> list[bytes]:
        """Mostly short ones if they are many, different from each other."""
        most = 40000 if count < 10 else self._choose.choice([20, 64, 65, 300])
        if self._choose.random() < 0.3:
            low = self._choose.choice(NUMBERS[:-2])
            return [b"%d" % (low + i) for i in range(count)]
        return list({self._value(most) for _ in range(count)})

    def _parts(self, items: list[Argument], size: int = 100) -> Iterator[list[Argument]]:
        for first in range(0, len(items), size):
            yield items[first : first + size]

    # ---- Types -----------------------------------------------------------------------------------

    def _string(self, key: bytes, count: int) -> Iterator[Command]:
        yield ("SET", key, self._value())
        if count > 100:
            yield ("SETRANGE", key, self._choose.choice(LENGTHS), self._blob(9))

    def _list(self, key: bytes, count: int) -> Iterator[Command]:
        for part in self._parts([self._value(300) for _ in range(count)]):
            yield ("RPUSH", key, *part)
        if self._choose.random() < 0.3:
            yield ("LPUSH", key, self._blob(self._choose.choice([9000, 20])))

    def _set(self, key: bytes, count: int) -> Iterator[Command]:
        for part in self._parts([*self._values(count)]):
            yield ("SADD", key, *part)

    def _sorted_set(self, key: bytes, count: int) -> Iterator[Command]:
        pairs: list[Argument] = []
        for value in self._values(count):
            score = self._choose.choice([*SCORES, self._choose.random(), *NUMBERS[:14]])
            pairs += [score, value]
        for part in self._parts(pairs):
            yield ("ZADD", key, *part)

    def _hash(self, key: bytes, count: int) -> Iterator[Command]:
        pairs: list[Argument] = []
        for value in self._values(count):
            pairs += [value, self._value(300)]
        for part in self._parts(pairs):
            yield ("HSET", key, *part)

    def _hyperloglog(self, key: bytes, count: int) -> Iterator[Command]:
        for part in self._parts([*self._values(count)]):
            yield ("PFADD", key, *part)

    def _stream(self, key: bytes, count: int) -> Iterator[Command]:
        ids = []
        for i in range(count):
            ids.append(f"{i // 3 + 1}-{i + 1}")
            same = self._choose.random() < 0.7
            names = [b"a", b"b"] if same else [self._value(64) for _ in range(3)]
            words = [word for name in names for word in (name, self._value(300))]
            yield ("XADD", key, ids[-1], *words)
        for gone in self._choose.sample(ids, min(len(ids) - 1, self._choose.choice([0, 0, 1, 30]))):
            yield ("XDEL", key, gone)
        if self._choose.random() < 0.2:
            yield ("XTRIM", key, "MAXLEN", 0)
            yield ("XSETID", key, "99999-5", "ENTRIESADDED", 100000, "MAXDELETEDID", ids[-1])
        yield from self._groups(key, ids)

    def _groups(self, key: bytes, ids: list[str]) -> Iterator[Command]:
        for group in range(self._choose.randrange(3)):
            name = b"group %d" % group
            yield ("XGROUP", "CREATE", key, name, self._choose.choice(["0", "$", ids[0]]))
            for consumer in range(self._choose.randrange(3)):
                who = b"consumer %d" % consumer
                yield ("XGROUP", "CREATECONSUMER", key, name, who)
                some = self._choose.choice([1, 3, 200])
                read = ("XREADGROUP", "GROUP", name, who, "COUNT", some)
                yield (*read, "STREAMS", key, ">")
            yield ("XACK", key, name, *self._choose.sample(ids, min(len(ids), 3)))
