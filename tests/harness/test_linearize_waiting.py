"""The checker accepts true histories of transactions, waiters and messages, and finds planted
violations in them."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from harness.histories import batches_of, lists, publishing, transactions
from harness.linearize import GONE, NO_ANSWER, Call, order_of
from harness.model import NOTHING, WAITING, AnError, Model

EXEC = tuple
INFINITY = float("inf")


def _calls(*rows: tuple) -> list[Call]:
    """Rows of (client, invoked, returned, command line or commands of EXEC, answer)."""
    return [
        Call(c, tuple(what.split()) if isinstance(what, str) else _exec(*what), i, r, answer)
        for c, i, r, what, answer in rows
    ]


def _exec(*lines: str) -> tuple:
    return ("EXEC", *(tuple(line.split()) for line in lines))


# ---- Transactions --------------------------------------------------------------------------------


def test_lost_update_is_rejected() -> None:
    """Two read the same, watch it, and both write."""
    ends = [(b"OK",), None]
    for first, second, explained in [
        (ends[0], ends[0], False),
        (ends[0], ends[1], True),
        (ends[1], ends[0], True),
    ]:
        calls = _calls(
            (0, 0, 1, "WATCH x", b"OK"),
            (1, 0, 1, "WATCH x", b"OK"),
            (0, 2, 3, "GET x", None),
            (1, 2, 3, "GET x", None),
            (0, 4, 6, ["SET x 0"], first),
            (1, 4, 6, ["SET x 1"], second),
        )
        assert (order_of(calls) is not None) is explained


def test_exec_that_fails_without_a_cause_is_rejected() -> None:
    calls = _calls(
        (0, 0, 1, "WATCH x", b"OK"), (1, 0, 1, "SET y 1", b"OK"), (0, 2, 3, ["GET x"], None)
    )
    assert order_of(calls) is None
    calls[1] = replace(calls[1], command=("SET", "x", "1"))
    assert order_of(calls) is not None
    calls[1] = replace(calls[1], command=("DEL", "x"), answer=0)
    assert order_of(calls) is None, "nothing was deleted, so nothing has changed"


def test_torn_exec_is_rejected() -> None:
    write = (0, 0, 9, ["SET a 1", "SET b 1"], (b"OK", b"OK"))
    for seen, explained in [
        ((None, None), True),
        ((b"1", b"1"), True),
        ((b"1", None), False),
        ((None, b"1"), False),
    ]:
        calls = _calls(write, (1, 1, 2, "MGET a b", seen))
        assert (order_of(calls) is not None) is explained
        calls = _calls(write, (1, 1, 2, ["GET a", "GET b"], seen))
        assert (order_of(calls) is not None) is explained


def test_write_skew_is_rejected() -> None:
    """Each watches what the other writes; both cannot have succeeded."""
    for second, explained in [((b"OK",), False), (None, True)]:
        calls = _calls(
            (0, 0, 1, "WATCH x", b"OK"),
            (1, 0, 1, "WATCH y", b"OK"),
            (0, 2, 9, ["SET y 1"], (b"OK",)),
            (1, 2, 9, ["SET x 1"], second),
        )
        assert (order_of(calls) is not None) is explained


def test_unwatch_and_exec_forget_what_was_watched() -> None:
    rows = [
        (0, 0, 1, "WATCH x", b"OK"),
        (0, 2, 3, "UNWATCH", b"OK"),
        (1, 4, 5, "SET x 1", b"OK"),
        (0, 6, 7, ["GET x"], (b"1",)),
        (1, 8, 9, "SET x 2", b"OK"),
        (0, 10, 11, ["GET x"], (b"2",)),
    ]
    assert order_of(_calls(*rows)) is not None
    del rows[1]
    assert order_of(_calls(*rows)) is None
    rows[2] = (0, 6, 7, ["GET x"], None)
    assert order_of(_calls(*rows)) is not None


def test_write_of_what_is_there_already_counts() -> None:
    """A step that leaves the data as it is may matter: it tells who watches."""
    calls = _calls(
        (1, 0, 1, "SET x 1", b"OK"),
        (1, 2, 9, "SET x 1", b"OK"),
        (0, 3, 4, "WATCH x", b"OK"),
        (0, 5, 6, ["GET x"], None),
    )
    assert order_of(calls) is not None


# ---- Order, and the ends of clients --------------------------------------------------------------


def test_calls_sent_at_once_keep_their_order() -> None:
    calls = _calls(
        (0, 0, 9, "SET a 1", b"OK"), (0, 0, 9, "SET a 2", b"OK"), (1, 10, 11, "GET a", b"1")
    )
    assert order_of(calls) is None
    calls[2] = replace(calls[2], answer=b"2")
    assert order_of(calls) is not None


def test_a_later_call_without_answer_needs_those_before_it() -> None:
    calls = _calls(
        (0, 0, INFINITY, "SET a 1", NO_ANSWER),
        (0, 0, INFINITY, "SET b 1", NO_ANSWER),
        (1, 5, 6, "MGET a b", (None, b"1")),
    )
    assert order_of(calls) is None
    for seen in [(None, None), (b"1", None), (b"1", b"1")]:
        assert order_of([*calls[:2], replace(calls[2], answer=seen)]) is not None


def test_nothing_of_a_killed_client_comes_after_the_kill() -> None:
    def history(gone: Call) -> list[Call]:
        return [
            Call(0, ("SET", "a", "1"), 0, INFINITY, NO_ANSWER),
            gone,
            *_calls((1, 5, 6, "GET a", None), (1, 7, 8, "GET a", b"1")),
        ]

    assert order_of(history(Call(0, GONE, 2, 3, True))) is None
    assert order_of(history(Call(0, GONE, 2, 9, True))) is not None
    assert order_of(history(Call(0, GONE, 2, INFINITY, NO_ANSWER))) is not None


def test_a_killed_client_waits_no_longer() -> None:
    calls = [
        Call(0, ("BLPOP", "a", "0"), 0, INFINITY, NO_ANSWER),
        Call(0, GONE, 2, 3, True),
        *_calls((1, 5, 6, "RPUSH a x", 1), (1, 7, 8, "LLEN a", 0)),
    ]
    assert order_of(calls) is None, "the element went to a client that was gone"
    calls[1] = Call(0, GONE, 2, INFINITY, NO_ANSWER)
    assert order_of(calls) is not None, "nobody knows when a reset arrives"
    calls[3] = replace(calls[3], answer=1)
    assert order_of(calls) is not None


# ---- Waiters -------------------------------------------------------------------------------------


def test_element_popped_twice_is_rejected() -> None:
    calls = _calls(
        (0, 0, 9, "BLPOP a 0", (b"a", b"x")),
        (1, 0, 9, "BLPOP a 0", (b"a", b"x")),
        (2, 1, 2, "RPUSH a x", 1),
    )
    assert order_of(calls) is None
    calls[1] = replace(calls[1], answer=None)
    assert order_of(calls) is not None


def test_lost_element_is_rejected() -> None:
    calls = _calls(
        (2, 1, 2, "RPUSH a x y", 2), (0, 3, 4, "BLPOP a 0", (b"a", b"x")), (1, 5, 6, "LLEN a", 0)
    )
    assert order_of(calls) is None
    calls[2] = replace(calls[2], answer=1)
    assert order_of(calls) is not None


def test_waiters_are_served_in_their_order() -> None:
    """The third gets the second element: whoever began to wait before it got the first."""
    rows = [
        (0, 0, 9, "BLPOP a 0", (b"a", b"x")),
        (1, 0, 9, "BLPOP a 0", (b"a", b"y")),
        (2, 5, 6, "RPUSH a x y", 2),
    ]
    assert order_of(_calls(*rows)) is not None
    rows[1] = (1, 7, 9, "BLPOP a 0", (b"a", b"x"))
    rows[0] = (0, 0, 9, "BLPOP a 0", (b"a", b"y"))
    assert order_of(_calls(*rows)) is not None, "the first may have begun late"
    rows[0] = (0, 0, 4, "BLPOP a 0", (b"a", b"y"))
    assert order_of(_calls(*rows)) is None, "it was answered before the push"


def test_a_chain_of_waiters_is_served_with_the_push() -> None:
    chain = _calls(
        (0, 0, 9, "BLPOP a c 0", (b"a", b"y")),
        (1, 0, 9, "BLMOVE a b LEFT LEFT 0", b"x"),
        (3, 0, 9, "BLPOP b 0", (b"b", b"x")),
        (2, 1, 2, "RPUSH a x y", 2),
        (2, 3, 4, "EXISTS a b", 0),
    )
    assert order_of(chain) is not None


def test_a_push_and_a_pop_in_one_transaction_serve_nobody() -> None:
    calls = _calls(
        (0, 0, 9, "BLPOP a 0.1", None),
        (1, 1, 2, ["RPUSH a x", "LPOP a"], (1, b"x")),
    )
    assert order_of(calls) is not None
    calls[1] = _calls((1, 1, 2, ["RPUSH a x", "LLEN a"], (1, 1)))[0]
    assert order_of([*calls, *_calls((1, 3, 4, "LLEN a", 1))]) is not None, "it began later"
    early = _calls((0, 0, 0.5, "BLPOP a 0.1", (b"a", b"x")))
    assert order_of([*early, calls[1]]) is None, "served before the push"


def test_a_call_that_blocks_does_not_block_inside_a_transaction() -> None:
    assert order_of(_calls((0, 0, 1, ["BLPOP a 0", "SET b 1"], (None, b"OK")))) is not None


def test_which_key_a_waiter_is_served_from() -> None:
    """Redis 7.0 serves from the key that became ready first, later ones by the order asked for."""
    calls = _calls(
        (0, 0, 9, "BLPOP a b 0", (b"b", b"x")),
        (2, 1, 2, "GET c", None),
        (1, 3, 4, ["RPUSH b x", "RPUSH a y", "LLEN a"], (1, 1, 1)),
    )
    assert order_of(calls, model=Model(again=False)) is not None
    assert order_of(calls, model=Model(again=True)) is None
    calls[0] = replace(calls[0], answer=(b"a", b"y"))
    assert order_of(calls, model=Model(again=True)) is not None


def test_what_is_behind_a_waiter_does_not_overtake_it() -> None:
    calls = _calls(
        (0, 0, 9, "BLPOP a 0", (b"a", b"x")),
        (0, 0, 9, "SET b 1", b"OK"),
        (1, 1, 2, "GET b", b"1"),
        (1, 3, 4, "RPUSH a x", 1),
    )
    assert order_of(calls) is None
    calls[2] = replace(calls[2], answer=None)
    assert order_of(calls) is not None


# ---- Messages ------------------------------------------------------------------------------------


def _two_listeners(first: list[bytes], second: list[bytes]) -> list[Call]:
    calls = []
    for name, seen in (("l", first), ("m", second)):
        calls += [Call(name, ("SUBSCRIBE", channel), 0, 1, b"OK") for channel in ("left", "right")]
        calls += [
            Call(
                ("inbox", name),
                ("RECEIVE", name),
                0,
                20 + i,
                (b"left" if m < b"m" else b"right", m),
            )
            for i, m in enumerate(seen)
        ]
    return calls


def test_inverted_publication_is_rejected() -> None:
    publications = _calls(
        (0, 2, 9, "PUBLISH left a", 2),
        (1, 2, 9, "PUBLISH right z", 2),
    )
    for order in ([b"a", b"z"], [b"z", b"a"]):
        assert order_of([*publications, *_two_listeners(order, order)]) is not None
    assert order_of([*publications, *_two_listeners([b"a", b"z"], [b"z", b"a"])]) is None
    publications[1] = replace(publications[1], invoked=10, returned=11)
    assert order_of([*publications, *_two_listeners([b"a", b"z"], [b"a", b"z"])]) is not None
    assert order_of([*publications, *_two_listeners([b"z", b"a"], [b"z", b"a"])]) is None


def test_lost_and_repeated_messages_are_rejected() -> None:
    publication = _calls((0, 2, 3, "PUBLISH left a", 2))
    drained = [Call(("inbox", name), ("DRAINED", name), 50, 51, True) for name in "lm"]
    right = [*publication, *_two_listeners([b"a"], [b"a"]), *drained]
    assert order_of(right) is not None
    assert order_of([*publication, *_two_listeners([b"a"], []), *drained]) is None
    assert order_of([*publication, *_two_listeners([b"a"], [b"a", b"a"]), *drained]) is None
    publication[0] = replace(publication[0], answer=1)
    assert order_of([*publication, *right[1:]]) is None, "both had subscribed"


def test_a_message_does_not_come_before_what_was_written_before_it() -> None:
    def history(seen: bytes | None) -> list[Call]:
        return _calls(
            ("l", 0, 1, "SUBSCRIBE c", b"OK"),
            (0, 2, 9, "SET x 1", b"OK"),
            (0, 2, 9, "PUBLISH c m", 1),
            (("inbox", "l"), 0, 4, "RECEIVE l", (b"c", b"m")),
            ("l", 5, 6, "GET x", seen),
        )

    assert order_of(history(b"1")) is not None
    assert order_of(history(None)) is None


# ---- Random histories ----------------------------------------------------------------------------

PROFILES = {"transactions": transactions, "lists": lists}


def _true_history(profile: str, seed: int) -> list[Call]:
    """Every step happens at one random moment of its call's span, on one model."""
    choose = random.Random(f"{profile} {seed}")
    keys = ["a", "b", "c"]
    queues = {
        i: [
            call for batch in batches_of(choose, PROFILES[profile], keys, i, 9, 1) for call in batch
        ]
        for i in range(6)
    }
    model = Model()
    started: dict[int, float] = {}
    calls: list[Call] = []
    clock = 0.0

    def finish(client: int, answer: object) -> None:
        call = queues[client].pop(0)
        invoked = started.pop(client) - choose.random() * 3
        last = max((c.returned for c in calls if c.client == client), default=-5.0)
        returned = clock + choose.random() * 3
        calls.append(Call(client, call, max(invoked, last), returned, answer))

    while any(queues.values()):
        clock += 1
        client = choose.choice([i for i, left in queues.items() if left])
        if model.waits(client):
            if choose.random() < 0.1:
                model.time_out(client)
                finish(client, None)
            continue
        last = max((c.returned for c in calls if c.client == client), default=-5.0)
        clock = max(clock, last)
        started[client] = clock
        answer = model.execute(queues[client][0], client)
        if answer is not WAITING:
            finish(client, answer)
        for other, given in model.served:
            finish(other, given)
    return calls


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("profile", PROFILES)
def test_true_histories_are_accepted_and_forged_ones_rejected(profile: str, seed: int) -> None:
    history = _true_history(profile, seed)
    assert order_of(history) is not None
    choose = random.Random(seed)
    forged = list(history)
    at = choose.randrange(len(forged))
    forged[at] = replace(forged[at], answer=b"forged")
    assert order_of(forged) is None


def test_two_answers_exchanged_are_rejected() -> None:
    """Two pops that took different elements at different times exchange them."""
    rejected = total = 0
    for seed in range(20):
        history = _true_history("lists", seed)
        pops = [
            i
            for i, call in enumerate(history)
            if call.command[0] in ("BLPOP", "BRPOP") and isinstance(call.answer, EXEC)
        ]
        for i in pops:
            for j in pops:
                if history[i].returned < history[j].invoked:
                    forged = list(history)
                    forged[i] = replace(history[i], answer=history[j].answer)
                    forged[j] = replace(history[j], answer=history[i].answer)
                    rejected += order_of(forged) is None
                    total += 1
                    break
    assert total > 20
    assert rejected > total * 0.9, f"{rejected} of {total}"


def test_the_publishing_profile_publishes() -> None:
    choose = random.Random(1)
    calls = [call for i in range(40) for call in publishing(choose, ["a", "b", "l", "r"], f"{i}")]
    assert {call[0] for call in calls} == {"SET", "EXEC", "PUBLISH"}
    model = Model()
    model.execute(("SUBSCRIBE", "l"), "x")
    assert model.execute(("RECEIVE", "x")) is NOTHING
    assert model.execute(("INCR", "a")) == 1
    assert model.execute(("RPUSH", "a", "b")) is AnError
