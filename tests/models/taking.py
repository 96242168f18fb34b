"""What the models of calls over several batons share: owners, taking in ascending order, hush.

A baton is an owner or FREE; waiting for it is one step that is possible when it is free (that the
word delivers this is proved in baton_word.py, and that who sleeps is woken for hush in
baton_set.py). A world of such a model is a named tuple that has `owners`, `at`, `ticket` and
`hush`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

FREE = -1


def put(items: tuple[Any, ...], index: int, item: Any) -> tuple[Any, ...]:
    return (*items[:index], item, *items[index + 1 :])


def move(world: Any, i: int, at: str, **changes: Any) -> Any:
    return world._replace(at=put(world.at, i, at), **changes)


def give(world: Any, baton: int, i: int) -> Any:
    return world._replace(owners=put(world.owners, baton, i))


def release(world: Any, i: int) -> Any:
    return world._replace(owners=tuple(FREE if owner == i else owner for owner in world.owners))


def held(world: Any, i: int) -> frozenset[int]:
    return frozenset(baton for baton, owner in enumerate(world.owners) if owner == i)


def missing(world: Any, i: int, wanted: Iterable[int]) -> list[int]:
    return [baton for baton in sorted(wanted) if world.owners[baton] != i]


def take_closed(world: Any, i: int, wanted: Iterable[int], then: str) -> Iterator[Any]:
    """A step of baton_set_take: waits in ascending order, drops everything when hushed."""
    lacks = missing(world, i, wanted)
    if not lacks:
        yield move(world, i, then)
    elif world.hush and world.ticket != i:
        if i in world.owners:
            yield release(world, i)
    elif world.owners[lacks[0]] == FREE:
        yield give(world, lacks[0], i)


def take_open(world: Any, i: int, lacks: list[int]) -> Iterator[Any]:
    """A step of baton_ticket_extend: waits in any order, and raises hush when it must wait."""
    if world.owners[lacks[0]] == FREE:
        yield give(world, lacks[0], i)
    elif not world.hush:
        yield world._replace(hush=True)


def take_ticket(world: Any, i: int, then: str) -> Iterator[Any]:
    if world.ticket == FREE:
        yield move(world, i, then, ticket=i)


def drop_ticket(world: Any, i: int, then: str) -> Iterator[Any]:
    yield move(world, i, then, ticket=FREE, hush=False)
