"""The account of a queue finds what is lost, what is there twice, and what nobody pushed."""

from __future__ import annotations

from collections import Counter

import pytest

from harness.queues import Account, Consumer


def _account(**options: object) -> Account:
    return Account(pushed={b"p:1", b"p:2", b"p:3"}, received=Counter([b"p:1"]), **options)


LEFT = Counter([b"p:2", b"p:3"])


@pytest.mark.parametrize("reliable", [False, True])
def test_everything_is_there(reliable: bool) -> None:
    _account().check(LEFT, reliable=reliable)


@pytest.mark.parametrize("reliable", [False, True])
def test_lost_element(reliable: bool) -> None:
    with pytest.raises(AssertionError, match="1 lost"):
        _account().check(Counter([b"p:2"]), reliable=reliable)


def test_who_died_may_have_taken_one_unless_it_moves_first() -> None:
    account = _account(outstanding=1)
    account.check(Counter([b"p:2"]), reliable=False)
    with pytest.raises(AssertionError, match="2 lost, of at most 1"):
        account.check(Counter(), reliable=False)
    with pytest.raises(AssertionError, match="1 lost, of at most 0"):
        account.check(Counter([b"p:2"]), reliable=True)


def test_element_received_twice() -> None:
    account = _account()
    account.received[b"p:1"] += 1
    for reliable in (False, True):
        with pytest.raises(AssertionError, match="twice"):
            account.check(LEFT, reliable=reliable)


def test_element_received_and_still_there() -> None:
    there = LEFT + Counter([b"p:1"])
    with pytest.raises(AssertionError, match="twice"):
        _account().check(there, reliable=False)
    _account().check(there, reliable=True)
    with pytest.raises(AssertionError, match="twice"):
        _account(finished={b"p:1"}).check(there, reliable=True)


def test_element_in_two_lists() -> None:
    with pytest.raises(AssertionError, match="twice"):
        _account().check(LEFT + LEFT, reliable=True)


def test_element_from_nowhere() -> None:
    with pytest.raises(AssertionError, match="nobody pushed"):
        _account().check(LEFT + Counter([b"p:9"]), reliable=True)
    _account(perhaps_pushed={b"p:9"}).check(LEFT + Counter([b"p:9"]), reliable=True)
    _account(perhaps_pushed={b"p:9"}).check(LEFT, reliable=True)


def test_order_of_one_producer() -> None:
    consumer = Consumer("c", None, ["q", "r"], _account(), "seed")  # type: ignore[arg-type]
    consumer._check_order(b"p:1")
    consumer._check_order(b"o:2")
    consumer._check_order(b"p:2")
    with pytest.raises(AssertionError, match="after"):
        consumer._check_order(b"p:1")


def test_a_run_that_saw_nothing_fails() -> None:
    with pytest.raises(AssertionError, match="was seen"):
        _account().require("died")
