"""kevyrt: a Redis-compatible data server inside a Python process."""

from kevyrt._core import Error, ForkedError, ResponseError, ServerStopped, Session, __version__
from kevyrt.server import Server

__all__ = [
    "Error",
    "ForkedError",
    "ResponseError",
    "Server",
    "ServerStopped",
    "Session",
    "__version__",
]
