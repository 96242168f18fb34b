"""Methods of commands that need Python: many options, iterators, replies that need parsing.

What is regular is a row of csrc/py/methods.def. A method here makes words and hands them to
`self._run(result, *words)`, which is each face's own: it calls now, queues, or gives an awaitable.
Iterators are the exception, since they call more than once.
"""

from __future__ import annotations

from kevyrt.commands.base import Face
from kevyrt.commands.sorted_sets import SortedSetCommands


class Commands(SortedSetCommands):
    """Everything that is not in the table."""


__all__ = ["Commands", "Face"]
