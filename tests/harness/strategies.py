"""How hypothesis strategies of commands are put together."""

from __future__ import annotations

from hypothesis import strategies as st


def flat(*parts: object) -> tuple:
    """Strings and bytes as they are, tuples and lists of them flattened."""
    out: list = []
    for part in parts:
        if isinstance(part, (tuple, list)):
            out += flat(*part)
        else:
            out.append(part)
    return tuple(out)


def command(*strategies: st.SearchStrategy | str) -> st.SearchStrategy:
    parts = [st.just(s) if isinstance(s, str) else s for s in strategies]
    return st.tuples(*parts).map(lambda parts: flat(*parts))
