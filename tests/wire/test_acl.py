"""ACL CAT, ACL GENPASS, ACL WHOAMI and ACL HELP: categories, passwords, and the one user."""

from __future__ import annotations

import re

import pytest
from harness.cases import Case, Do, case, mask_field, unordered
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Reply, text_of

# Those that 7.0 knows like 7.4, and that no subcommand of ACL is in.
EQUAL_CATEGORIES = ["bitmap", "geo", "hyperloglog", "pubsub", "string", "transaction"]


def _is_password(digits: int):
    """Any text of so many hexadecimal digits."""

    def mask(reply: Reply) -> Reply:
        if reply.kind == "bulk" and re.fullmatch(rb"[0-9a-f]{%d}" % digits, reply.value):
            return Reply("password", digits)
        return reply

    return mask


CASES = [
    case(
        "acl-cat",
        "ACL CAT",
        "ACL CAT nosuch",
        ("ACL", "CAT", b"x" * 100),
        "ACL CAT ''",
        "ACL CAT @string",
        "ACL CAT a b",
        *(Do(f"ACL CAT {name}", mask=unordered) for name in EQUAL_CATEGORIES),
        Do("acl cat BitMap", mask=unordered),
    ),
    case(
        "acl-cat-3",
        Do("HELLO 3", mask=mask_field(b"id")),
        "ACL CAT",
        Do("ACL CAT bitmap", mask=unordered),
    ),
    case("acl-cat-long", ("ACL", "CAT", b"x" * 200)),
    case(
        "acl-genpass",
        Do("ACL GENPASS", mask=_is_password(64)),
        Do("ACL GENPASS 1", mask=_is_password(1)),
        Do("ACL GENPASS 4", mask=_is_password(1)),
        Do("ACL GENPASS 5", mask=_is_password(2)),
        Do("ACL GENPASS 9", mask=_is_password(3)),
        Do("acl genpass 4096", mask=_is_password(1024)),
        "ACL GENPASS 4097",
        "ACL GENPASS 0",
        "ACL GENPASS -1",
        "ACL GENPASS x",
        "ACL GENPASS 1.5",
        "ACL GENPASS 9223372036854775808",
        "ACL GENPASS 1 2",
    ),
    case("acl-whoami", "ACL WHOAMI", "acl whoami", "ACL WHOAMI x"),
    case("acl-errors", "ACL", "ACL NOSUCH", "ACL NOSUCH a b"),
    case("acl-help", "ACL HELP", "ACL HELP x"),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_acl(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def test_categories_list_what_command_info_says(subject: Server) -> None:
    with subject.connect() as connection:
        names = [text_of(name) for name in connection.do("COMMAND", "LIST").value]
        rows = connection.do("COMMAND", "INFO", *names).value
        categories = [text_of(name) for name in connection.do("ACL", "CAT").value]
        listed = connection.pipeline([("ACL", "CAT", name) for name in categories])
    assert len(categories) == 21
    expected: dict[str, set[str]] = {name: set() for name in categories}
    for name, row in zip(names, rows, strict=True):
        for category in row.value[6].value:
            expected[text_of(category)[1:]].add(name)
    found = {
        category: {text_of(name) for name in reply.value}
        for category, reply in zip(categories, listed, strict=True)
    }
    assert found == expected
    assert all(len(reply.value) == len(found[c]) for c, reply in zip(categories, listed))  # noqa: B905


def test_passwords_differ_in_every_digit(subject: Server) -> None:
    with subject.connect() as connection:
        passwords = [text_of(connection.do("ACL", "GENPASS")) for _ in range(64)]
    assert len(set(passwords)) == len(passwords)
    for position in range(64):
        assert len({password[position] for password in passwords}) > 4
