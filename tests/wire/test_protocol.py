"""What the parser makes of bytes: inline commands, malformed frames, and input that comes in
pieces.
"""

from __future__ import annotations

import pytest
from harness.cases import Case, Do, Read, Send, Silent, case
from harness.compare import Oracle
from harness.process import Server
from harness.resp import encode, encode_all

SET_BEFORE = encode("SET", "before", "1") + encode("INCR", "before")

# Each is followed by the end of the stream.
MALFORMED = {
    "bulk-without-dollar": b"*2\r\n$3\r\nGET\r\nxyz\r\n",
    "bulk-integer-mark": b"*2\r\n$3\r\nGET\r\n:1\r\n",
    "bulk-plus-mark": b"*1\r\n+PING\r\n",
    "bulk-empty-line": b"*1\r\n\r\nPING\r\n",
    "bulk-negative": b"*1\r\n$-1\r\n",
    "bulk-negative-second": b"*2\r\n$3\r\nGET\r\n$-5\r\n",
    "bulk-text": b"*1\r\n$abc\r\n",
    "bulk-empty-length": b"*1\r\n$\r\n",
    "bulk-spaced": b"*1\r\n$ 4\r\nPING\r\n",
    "bulk-plus": b"*1\r\n$+4\r\nPING\r\n",
    "bulk-huge": b"*1\r\n$536870913\r\n",
    "bulk-overflow": b"*1\r\n$99999999999999999999999\r\n",
    "bulk-int64-max": b"*1\r\n$9223372036854775807\r\n",
    "bulk-float": b"*1\r\n$4.0\r\nPING\r\n",
    "bulk-leading-zero": b"*1\r\n$04\r\nPING\r\n",
    "count-text": b"*abc\r\n",
    "count-empty": b"*\r\n",
    "count-plus": b"*+1\r\n$4\r\nPING\r\n",
    "count-spaced": b"* 1\r\n$4\r\nPING\r\n",
    "count-huge": b"*2147483648\r\n",
    "count-overflow": b"*99999999999999999999999\r\n",
    "count-int64-max": b"*9223372036854775807\r\n",
    "count-float": b"*1.0\r\n",
    "count-leading-zero": b"*01\r\n$4\r\nPING\r\n",
    "inline-quotes-open": b'SET a "b\r\n',
    "inline-single-quotes-open": b"SET a 'b\r\n",
    "inline-text-after-quotes": b'SET a "b"c\r\n',
    "inline-text-after-single-quotes": b"SET a 'b'c\r\n",
    "inline-quote-at-end": b'GET "\r\n',
}

# The limit is on a line that has not ended: whether Redis refuses one that ends behind the limit
# depends on how its reads cut the line, so nothing may come behind these.
ENDLESS = {
    "inline-too-big": b"a" * 70_000,
    "count-string-too-big": b"*" + b"1" * 70_000,
    "bulk-string-too-big": b"*1\r\n$" + b"1" * 70_000,
}

# Each leaves the connection in order: a PING behind it is answered.
TOLERATED = {
    "count-zero": b"*0\r\n",
    "count-negative": b"*-1\r\n",
    "count-very-negative": b"*-10\r\n",
    "empty-line": b"\r\n",
    "empty-lines": b"\r\n\r\n\n\r\n",
    "newline-only": b"\n",
    "blank-line": b"   \r\n",
    "zero-between": b"*0\r\n*1\r\n$4\r\nPING\r\n*0\r\n",
    "bulk-end-unchecked": b"*2\r\n$4\r\nECHO\r\n$2\r\nabXY",
    "null-bulks-in-text": encode("ECHO", b"$-1\r\n*5\r\n"),
}

INLINE = {
    "plain": b"SET k v\r\n",
    "newline-alone": b"SET k v\nGET k\n",
    "spaces": b"   SET    k \t v   \r\n",
    "double-quotes": b'SET k "a b c"\r\nGET k\r\n',
    "single-quotes": b"SET k 'a b c'\r\nGET k\r\n",
    "hex": b'SET k "\\x00\\x41\\xff\\xFf"\r\nGET k\r\n',
    "hex-short": b'SET k "\\x4"\r\nGET k\r\n',
    "hex-bad": b'SET k "\\xzz"\r\nGET k\r\n',
    "escapes": b'SET k "\\n\\r\\t\\b\\a\\\\\\"\\q"\r\nGET k\r\n',
    "single-escapes": b"SET k 'it\\'s \\n \\\\'\r\nGET k\r\n",
    "empty-quotes": b"SET k \"\"\r\nGET k\r\nECHO ''\r\n",
    "quotes-inside-word": b'ECHO a"b"\r\n',
    "quotes-inside-word-open": b'ECHO a"b c"\r\n',
    "double-in-single": b"ECHO 'a\"b'\r\n",
    "unknown": b"NOPE a b\r\n",
    "case": b"pInG\r\n",
    "bytes": b"ECHO \xff\xfe\x01\r\n",
    "carriage-return-inside": b"ECHO a\rb\r\n",
    "http-like-word": b"GETS / HTTP/1.1\r\n",
    "long-below-limit": b"ECHO " + b"a" * 60_000 + b"\r\n",
    "then-multibulk": b"PING\r\n" + encode("ECHO", "x") + b"PING y\r\n",
    "many": b"PING\r\n" * 500,
}

SPLIT = (
    b"SET inline 'a b'\r\n"
    + encode("SET", "k", "some value")
    + b"\r\n*0\r\n"
    + encode("GET", "k")
    + encode("MGET", "k", "inline", "none")
    + b'ECHO "\\x41"\n'
    + encode("NOPE", "x")
)
SPLIT_REPLIES = 6

END = Read(None)


def _cases() -> list[Case]:
    cases = []
    for name, data in MALFORMED.items():
        cases.append(case(f"malformed-{name}", Send(data), END, Do("PING", on=1)))
        cases.append(
            case(
                f"malformed-behind-{name}",
                Send(SET_BEFORE + data + SET_BEFORE),
                END,
                Do("GET before", on=1),
            )
        )
    for name, data in ENDLESS.items():
        cases.append(case(f"malformed-{name}", Send(data), END))
        cases.append(
            case(f"malformed-behind-{name}", Send(SET_BEFORE + data), END, Do("GET before", on=1))
        )
    for name, data in TOLERATED.items():
        replies = Send(data + encode("ECHO", "the end") + encode("QUIT"))
        cases.append(case(f"tolerated-{name}", replies, END))
        cases.append(case(f"tolerated-{name}-bytewise", Send(replies.data, piece=1), END))
    for name, data in INLINE.items():
        cases.append(case(f"inline-{name}", Send(data + encode("QUIT")), END))
    return cases


CASES = [
    *_cases(),
    case("split-bytewise", Send(SPLIT, piece=1), Read(SPLIT_REPLIES)),
    case("split-in-threes", Send(SPLIT * 20, piece=3), Read(SPLIT_REPLIES * 20)),
    case("split-in-hundreds", Send(SPLIT * 50, piece=101), Read(SPLIT_REPLIES * 50)),
    case(
        "incomplete-is-silent",
        Send(b"*2\r\n$3\r\nGET\r\n$3\r\nab"),
        Silent(),
        Send(b"c\r\n"),
        Read(1),
    ),
    case(
        "incomplete-line-is-silent",
        Send(b"PIN"),
        Silent(),
        Send(b"G"),
        Silent(),
        Send(b"\r\n"),
        Read(1),
    ),
    case(
        "malformed-behind-shards",
        Send(
            encode_all(("SET", f"m{i}", i) for i in range(200))
            + encode("MGET", *(f"m{i}" for i in range(200)))
            + b"*x\r\n"
        ),
        END,
        Do("DBSIZE", on=1),
    ),
    case("malformed-behind-quit", Send(encode("QUIT") + b"*x\r\n"), END),
    case("large-counts-unfilled", Send(b"*1000000\r\n$4\r\nPING\r\n"), Silent(), Do("PING", on=1)),
    case(
        "large-length-unfilled",
        Send(b"*2\r\n$4\r\nECHO\r\n$536870912\r\nabc"),
        Silent(),
        Do("PING", on=1),
    ),
    case("many-arguments", ("EXISTS", *(f"k{i}" for i in range(20_000)))),
    case("many-empty-arguments", ("DEL", *(b"" for _ in range(5_000)))),
    case("http-post", Send(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n"), END, Do("PING", on=1)),
    case("http-host", Send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), END, Do("PING", on=1)),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_protocol(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def test_split_at_every_byte(subject: Server, oracle: Oracle) -> None:
    """Two writes, the cut at each position; the answer never changes."""
    expected = oracle.transcript(case("split-whole", Send(SPLIT), Read(SPLIT_REPLIES)))[1].replies
    for cut in range(1, len(SPLIT)):
        with subject.connect() as connection:
            connection.send(SPLIT[:cut])
            connection.send(SPLIT[cut:])
            assert connection.read_many(SPLIT_REPLIES) == expected, f"cut at {cut}"
