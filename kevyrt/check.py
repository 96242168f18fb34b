"""kevyrt-check: looks at files of persistence, as redis-check-rdb and redis-check-aof do."""

from __future__ import annotations

import argparse
import os
import sys

from kevyrt import _core

DESCRIPTION = """\
Tells whether a dump, an append-only log or a log's manifest can be loaded, and if not, where it is
damaged. What kind a file is of is seen by what is in it. No server needs to run, and none that has
the file open may.
"""


def check(path: str | os.PathLike[str], *, fix: bool = False) -> tuple[bool, list[str]]:
    """Whether the file can be loaded, and a report about it in lines.

    With `fix`, a log that is torn or damaged is cut where it is whole so far; nothing else is
    changed. A manifest is looked at with all files that it names.

        >>> good, report = check("appendonlydir/appendonly.aof.manifest")
    """
    report: list[str] = []
    good = _core.check(os.fspath(path), fix, 0, report.append, lambda question: True)
    return good, report


def _say(line: str) -> None:
    """A report may name what the terminal cannot show."""
    encoding = sys.stdout.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def _agree(question: str) -> bool:
    _say(question)
    try:
        return input("Continue? [y/N]: ").strip().lower() == "y"
    except EOFError:
        return False


def main(words: list[str] | None = None) -> int:
    """The command; returns its exit code: 0 if all files can be loaded (after --fix)."""
    parser = argparse.ArgumentParser(prog="kevyrt-check", description=DESCRIPTION)
    parser.add_argument(
        "--fix", action="store_true", help="cut a log that is torn or damaged where it is whole"
    )
    parser.add_argument(
        "--truncate-to-timestamp",
        type=int,
        default=0,
        metavar="SECONDS",
        help="cut a log where it goes on later than that (aof-timestamp-enabled)",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before a file is cut")
    parser.add_argument("files", nargs="+", metavar="FILE")
    options = parser.parse_args(words)
    agree = (lambda question: True) if options.yes else _agree
    results = [
        _core.check(path, options.fix, options.truncate_to_timestamp, _say, agree)
        for path in options.files
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
