"""Runs the benchmarks and writes their figures, beside the goals, into docs/BENCHMARKS.md.

With --only or --quick the figures are printed and the document is left alone.
"""

from __future__ import annotations

import aio
import atomic
import batches
import client
import commands
import durability
import eviction
import files
import fixture
import gaps
import inprocess
import large_values
import lifecycle
import memory
import publishing
import report
import values
import waiting
import wire

BENCHMARKS = {
    "wire": (wire.one_thread, wire.many_keys, wire.two_threads),
    "commands": (commands.commands, commands.scan, commands.crowd),
    "values": (values.values,),
    "large_values": (large_values.memory, large_values.ranks, large_values.deletions),
    "memory": (memory.memory,),
    "gaps": (gaps.gaps,),
    "inprocess": (inprocess.calls, batches.batches, inprocess.under_load),
    "aio": (aio.aio,),
    "client": (client.client,),
    "atomic": (
        atomic.transactions,
        waiting.wake,
        waiting.crowd,
        publishing.publishing,
        atomic.features_off,
    ),
    "durability": (durability.everysec, durability.always, durability.always_shards),
    "files": (files.starts, files.rewriting),
    "eviction": (eviction.eviction,),
    "lifecycle": (lifecycle.lifecycle,),
    "fixture": (fixture.fixture,),
}


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=BENCHMARKS, metavar="NAME", help="some of them"
    )
    parsed = parser.parse_args()
    options = report.options_of(parsed)
    sections = []
    for name in parsed.only or BENCHMARKS:
        for measure in BENCHMARKS[name]:
            sections.append(report.guarded(measure, options))
            print(report.section_text(sections[-1]), end="\n\n", flush=True)
    if parsed.json:
        report.write_json(sections, parsed.json)
    if not parsed.only and not parsed.quick:
        report.write_document(sections, f"python benchmarks/run.py --rounds {options.rounds}")
        print(f"written to {report.DOCUMENT.relative_to(report.ROOT)}")


if __name__ == "__main__":
    main()
