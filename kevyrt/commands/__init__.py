"""Methods of commands that need Python: many options, iterators, replies that need parsing.

What is regular is a row of csrc/py/faces/methods.def. A method here makes words and hands them to
`self._run(result, *words)`, which is each face's own: it calls now, queues, or gives an awaitable.
Iterators are the exception, since they call more than once.

Names, parameters and results are those of redis-py 8.1's `redis.Redis`. Which options go together
the server says (ResponseError), with few exceptions: ValueError where only a part of what belongs
together was given and no command could be made of it, TypeError where a value is of a type that
no command can carry. redis-py raises DataError for both, and for much that the server refuses.
"""

from __future__ import annotations

from kevyrt.commands.base import Face
from kevyrt.commands.faces import AwaitedCommands, Commands, QueuedCommands

__all__ = ["AwaitedCommands", "Commands", "Face", "QueuedCommands"]
