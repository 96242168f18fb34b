"""COMMAND DOCS: what is said of every row of the table.

Redis 7.2 reworded every summary and gave every argument a display text. So all rows are compared
without these two, in the compact form of `csrc/cmd/docs.def`, and a few of them whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.cases import Case, Do, case, mask_field
from harness.compare import Oracle
from harness.definitions import parse_definitions
from harness.process import Server
from harness.resp import Reply, text_of

NAMES = [row.name.lower().replace(" ", "|") for row in parse_definitions()]
SAMPLES = ["get", "set", "client|setname", "substr", "config|get", "sort"]


def _fields(reply: Reply) -> dict[str, Reply]:
    return {text_of(name): value for name, value in reply.value}


def _word(token: str) -> str:
    return token if token.isupper() else f"'{token}'"


def _argument(fields: dict[str, Reply]) -> str:
    """An argument as csrc/cmd/docs.def writes it, without its display text."""
    name, kind = text_of(fields["name"]), text_of(fields["type"])
    token = text_of(fields["token"]) if "token" in fields else None
    if kind == "pure-token" and token is not None and token.isupper() and token.lower() == name:
        text = token
    else:
        text = f"{_word(token)}={name}" if token is not None else name
        text += "" if kind in ("string", "block", "oneof") else f":{kind}"
    if "key_spec_index" in fields:
        text += f"@{fields['key_spec_index'].value}"
    flags = [text_of(flag) for flag in fields["flags"].value] if "flags" in fields else []
    text += "+" if "multiple_token" in flags else ""
    text += "..." if "multiple" in flags else ""
    text += f"^{text_of(fields['since'])}" if "since" in fields else ""
    text += f"!{text_of(fields['deprecated_since'])}" if "deprecated_since" in fields else ""
    inner = [_argument(_fields(item)) for item in _items(fields)]
    if kind == "block":
        text += f"{{{' '.join(inner)}}}"
    elif kind == "oneof":
        text += f"({'|'.join(inner)})"
    return f"[{text}]" if "optional" in flags else text


def _items(fields: dict[str, Reply]) -> tuple[Reply, ...]:
    return fields["arguments"].value if "arguments" in fields else ()


def _lines(fields: dict[str, Reply]) -> Iterator[str]:
    for name, value in fields.items():
        if name == "arguments":
            yield "arguments: " + " ".join(_argument(_fields(item)) for item in value.value)
        elif name == "history":
            changes = (" ".join(text_of(part) for part in change.value) for change in value.value)
            yield f"history ({value.kind}): {' / '.join(changes)}"
        elif name == "doc_flags":
            yield f"doc_flags ({value.kind}): {' '.join(text_of(flag) for flag in value.value)}"
        elif name not in ("summary", "subcommands"):
            yield f"{name}: {text_of(value)}"


def compact(reply: Reply) -> Reply:
    """COMMAND DOCS of one command in RESP3, as one line, without what is said of subcommands."""
    if not reply.value:
        return Reply("none", None)
    ((_, docs),) = reply.value
    return Reply("docs", "; ".join(_lines(_fields(docs))))


CASES = [
    case(
        "command-docs-every",
        Do("HELLO 3", mask=mask_field(b"id")),
        *(Do(f"COMMAND DOCS {name}", mask=compact) for name in NAMES),
    ),
    case("command-docs-2", *(f"COMMAND DOCS {name}" for name in SAMPLES)),
    case(
        "command-docs-3",
        Do("HELLO 3", mask=mask_field(b"id")),
        *(f"COMMAND DOCS {name}" for name in SAMPLES),
    ),
    case(
        "command-docs-unknown",
        "COMMAND DOCS nosuch",
        "COMMAND DOCS nosuch client|nosuch get|set client|",
        ("COMMAND", "DOCS", b""),
        ("COMMAND", "DOCS", b"x" * 300),
        Do("HELLO 3", mask=mask_field(b"id")),
        "COMMAND DOCS nosuch",
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_docs(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


@pytest.mark.parametrize("protocol", [2, 3])
def test_all_are_those_of_every_name(subject: Server, protocol: int) -> None:
    """No names stand for all of them, and a container holds what its subcommands have."""
    with subject.connect() as connection:
        connection.do("HELLO", protocol)
        names = [text_of(name) for name in connection.do("COMMAND", "LIST").value]
        top = [name for name in names if "|" not in name]
        everything = _pairs(connection.do("COMMAND", "DOCS"))
        assert everything.keys() == set(top)
        assert _pairs(connection.do("COMMAND", "DOCS", *top)) == everything
        inner: dict[str, Reply] = {}
        for docs in everything.values():
            inner |= _pairs(_pairs(docs).get("subcommands", Reply("map", ())))
        assert inner.keys() == set(names) - set(top)
        assert _pairs(connection.do("COMMAND", "DOCS", *inner)) == inner


def _pairs(reply: Reply) -> dict[str, Reply]:
    if reply.kind == "map":
        return _fields(reply)
    return {text_of(n): v for n, v in zip(reply.value[::2], reply.value[1::2], strict=True)}


def _arguments_below(fields: dict[str, Reply]) -> Iterator[dict[str, Reply]]:
    for item in _items(fields):
        inner = _fields(item)
        yield inner
        yield from _arguments_below(inner)


def test_every_row_has_a_summary_and_display_texts(ours: Server) -> None:
    with ours.connect() as connection:
        connection.do("HELLO", 3)
        docs = _fields(connection.do("COMMAND", "DOCS", *NAMES))
    assert list(docs) == NAMES
    for name, reply in docs.items():
        summary = text_of(_fields(reply)["summary"])
        assert summary[0].isupper() and len(summary) > 10, name
        for argument in _arguments_below(_fields(reply)):
            assert ("display_text" in argument) == ("arguments" not in argument), name


def test_a_name_twice_is_answered_twice(subject: Server) -> None:
    with subject.connect() as connection:
        once = connection.do("COMMAND", "DOCS", "get").value
        assert connection.do("COMMAND", "DOCS", "get", "nosuch", "GET").value == once + once
