"""The checker accepts what some order explains and rejects everything else."""

from __future__ import annotations

import random

import pytest

from harness.linearize import LIMIT, NO_ANSWER, Call, order_of
from harness.model import AnError, Model, random_command


def _calls(*rows: tuple) -> list[Call]:
    """Rows of (client, invoked, returned, command line, answer)."""
    return [Call(c, tuple(line.split()), i, r, answer) for c, i, r, line, answer in rows]


def test_one_after_the_other() -> None:
    calls = _calls((0, 0, 1, "SET a 1", b"OK"), (1, 2, 3, "GET a", b"1"), (0, 4, 5, "DEL a", 1))
    assert order_of(calls) == calls


def test_overlapping_calls_may_turn_round() -> None:
    calls = _calls((0, 0, 9, "SET a 1", b"OK"), (1, 1, 2, "GET a", None), (1, 3, 4, "GET a", b"1"))
    order = order_of(calls)
    assert [call.command[0] for call in order] == ["GET", "SET", "GET"]


def test_stale_read_is_rejected() -> None:
    assert order_of(_calls((0, 0, 1, "SET a 1", b"OK"), (1, 2, 3, "GET a", None))) is None


def test_reads_that_go_back_are_rejected() -> None:
    calls = _calls((0, 0, 9, "SET a 1", b"OK"), (1, 1, 2, "GET a", b"1"), (2, 3, 4, "GET a", None))
    assert order_of(calls) is None


def test_lost_increment_is_rejected() -> None:
    assert order_of(_calls((0, 0, 5, "INCR a", 1), (1, 0, 5, "INCR a", 1))) is None
    assert order_of(_calls((0, 0, 5, "INCR a", 1), (1, 0, 5, "INCR a", 2))) is not None


def test_torn_multi_key_write_is_rejected() -> None:
    write = (0, 0, 9, "MSET a 1 b 1", b"OK")
    assert order_of(_calls(write, (1, 1, 2, "MGET a b", (b"1", b"1")))) is not None
    assert order_of(_calls(write, (1, 1, 2, "MGET a b", (None, None)))) is not None
    assert order_of(_calls(write, (1, 1, 2, "MGET a b", (b"1", None)))) is None


def test_two_reads_that_disagree_about_the_order_are_rejected() -> None:
    """Each key alone is in order; together they are not."""
    calls = _calls(
        (0, 0, 9, "SET a 1", b"OK"),
        (1, 0, 9, "SET b 1", b"OK"),
        (2, 1, 2, "MGET a b", (b"1", None)),
        (3, 3, 4, "MGET a b", (None, b"1")),
    )
    assert order_of(calls) is None


def test_write_skew_between_single_reads_is_rejected() -> None:
    calls = _calls(
        (0, 0, 1, "SET a 1", b"OK"),
        (0, 2, 3, "GET b", None),
        (1, 0, 1, "SET b 1", b"OK"),
        (1, 2, 3, "GET a", None),
    )
    assert order_of(calls) is None


def test_an_answer_that_no_order_gives_is_rejected() -> None:
    assert order_of(_calls((0, 0, 1, "GET a", b"never written"))) is None
    assert order_of(_calls((0, 0, 1, "SET a x", b"OK"), (0, 2, 3, "INCR a", 1))) is None
    assert order_of(_calls((0, 0, 1, "SET a x", b"OK"), (0, 2, 3, "INCR a", AnError))) is not None


@pytest.mark.parametrize("seen", [None, b"1"])
def test_call_without_answer_may_have_happened_or_not(seen: bytes | None) -> None:
    calls = _calls((0, 0, 1, "SET a 1", NO_ANSWER), (1, 5, 6, "GET a", seen))
    assert order_of(calls) is not None


def test_call_without_answer_does_not_happen_before_its_invocation() -> None:
    calls = _calls((1, 0, 1, "GET a", b"1"), (0, 2, 3, "SET a 1", NO_ANSWER))
    assert order_of(calls) is None


def test_bounds() -> None:
    with pytest.raises(ValueError):
        order_of([])
    with pytest.raises(ValueError):
        order_of(_calls((0, 0, 1, "GET a", None)) * (LIMIT + 1))


def _random_history(seed: int) -> list[Call]:
    """A true history: every call takes effect at one random moment of its span."""
    choose = random.Random(seed)
    spans = []
    for client in range(5):
        at = choose.random()
        for number in range(8):
            moments = sorted(at + choose.random() for _ in range(3))
            command = random_command(choose, ["a", "b", "c"], f"{client}.{number}.")
            spans.append((moments, client, command))
            at = moments[2]
    model = Model()
    spans.sort(key=lambda span: span[0][1])
    return [Call(c, command, m[0], m[2], model.execute(command)) for m, c, command in spans]


@pytest.mark.parametrize("seed", range(30))
def test_true_histories_are_accepted_and_forged_ones_rejected(seed: int) -> None:
    history = _random_history(seed)
    assert order_of(history) is not None
    forged = [
        Call(c.client, c.command, c.invoked, c.returned, b"forged") if i == 20 else c
        for i, c in enumerate(history)
    ]
    assert order_of(forged) is None
