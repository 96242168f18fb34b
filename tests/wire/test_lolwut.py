"""LOLWUT VERSION 5 and 6: the art is drawn by chance, so its shape is compared, not its lines."""

from __future__ import annotations

import re

import pytest
from harness.cases import Case, Do, case, mask_field
from harness.compare import Oracle
from harness.process import Server
from harness.resp import Reply, text_of

PIXEL = re.compile(r"\x1b\[0;(?:30;40|90;100|37;47|97;107)m \x1b\[0m")
BLANK, FULL = "\u2800", "\u28ff"


def _line(line: str) -> str:
    """A line of a picture without what chance drew: which characters, and how many."""
    if line and all(BLANK <= character <= FULL for character in line):
        return f"{len(line)} of Braille"
    if line and not PIXEL.sub("", line):
        return f"{len(PIXEL.findall(line))} pixels"
    return re.sub(r"ver\. [0-9.]+", "ver.", line)


def shape(reply: Reply) -> Reply:
    if reply.kind not in ("bulk", "verbatim"):
        return reply
    text = reply.value.decode().removeprefix("txt:")
    lines = [_line(line) for line in text.split("\n")]
    return Reply(reply.kind, "\n".join(lines))


SIZES_5 = [
    *("", "10", "10 2", "10 2 3", "1", "2", "3", "4 1 1", "0", "-3 2 2", "20 300 1", "20 1 30"),
    *(
        "20 0 2",
        "20 2 0",
        "1001 3 3",
        "10 2 3 ignored",
        "37 7 5",
        "67 13 29",
        "31 15 20",
        "65 12 15",
    ),
]
SIZES_6 = ["", "10", "10 5", "1", "5 1001", "1001 2", "0 0", "-1 -1", "3 3 ignored"]
ERRORS = ["5 x", "5 10 x", "5 10 2 x", "5 1.5", "6 x", "6 3 x", "x", "05", "9223372036854775808"]
OTHERS = ["4", "7", "50", "55", "60", "-5", "0", "4294967295", "9223372036854775807"]

CASES = [
    case("lolwut-5", *(Do(f"LOLWUT VERSION 5 {size}", mask=shape) for size in SIZES_5)),
    case("lolwut-6", *(Do(f"lolwut version 6 {size}", mask=shape) for size in SIZES_6)),
    case("lolwut-32-bits", Do("LOLWUT VERSION 4294967301 9 3 2", mask=shape)),
    case("lolwut-errors", *(f"LOLWUT VERSION {arguments}" for arguments in ERRORS)),
    case("lolwut-others", *(Do(f"LOLWUT VERSION {version}", mask=shape) for version in OTHERS)),
    case(
        "lolwut-3",
        Do("HELLO 3", mask=mask_field(b"id")),
        *(Do(f"LOLWUT VERSION {arguments}", mask=shape) for arguments in ("5 9 3 2", "6 4 4", "7")),
        Do("LOLWUT", mask=shape),
    ),
]


@pytest.mark.parametrize("a_case", CASES, ids=lambda c: c.name)
def test_lolwut(a_case: Case, subject: Server, oracle: Oracle) -> None:
    oracle.check(a_case, subject)


def _picture(subject: Server, *arguments: int) -> list[str]:
    with subject.connect() as connection:
        text = text_of(connection.do("LOLWUT", "VERSION", *arguments))
    return [line for line in text.split("\n") if _line(line).endswith(("Braille", "pixels"))]


def test_schotter_falls_into_disorder(subject: Server) -> None:
    """The first rows are straight, so the same in every picture; the last are not."""
    pictures = [_picture(subject, 5, 66, 8, 12) for _ in range(3)]
    assert {len(picture) for picture in pictures} == {49}
    assert len({"\n".join(picture[:6]) for picture in pictures}) == 1
    assert len({"\n".join(picture[-12:]) for picture in pictures}) == 3
    ink = sum(character != BLANK for line in pictures[0] for character in line)
    assert 0.2 < ink / (66 * 49) < 0.9


def test_a_skyline_has_a_sky_and_houses(subject: Server) -> None:
    pictures = [_picture(subject, 6, 80, 20) for _ in range(3)]
    assert len({"\n".join(picture) for picture in pictures}) == 3
    for picture in pictures:
        shades = [re.findall(r"\x1b\[0;(\d+);", line) for line in picture]
        assert shades[0].count("97") > 40
        assert shades[-1].count("97") < 40
        assert {shade for line in shades for shade in line} == {"30", "90", "37", "97"}
