"""A queue of jobs for asyncio workers: none is lost when a worker fails, each is tried three times.

python examples/worker_queue.py
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import kevyrt

# With appendonly=True and dir=... the queue outlives the process.
queue = kevyrt.Server(port=None, decode_responses=True)
TRIES = 3


async def submit(name: str, **arguments: Any) -> None:
    await queue.aio.lpush("jobs", json.dumps({"name": name, "arguments": arguments, "tries": 0}))


async def handle(job: dict[str, Any]) -> str:
    """The work itself. Two jobs fail at first, one always."""
    await asyncio.sleep(0.001)
    if job["arguments"].get("fails", 0) > job["tries"]:
        raise RuntimeError("not this time")
    return f"{job['name']} is done"


async def work(worker: int) -> None:
    """A job is moved to the worker's own list while it is worked on, so a crash leaves it there."""
    mine = f"working:{worker}"
    while True:
        text = await queue.aio.blmove("jobs", mine, timeout=0, src="RIGHT", dest="LEFT")
        assert text is not None  # without a time-out it waits for as long as it takes
        job = json.loads(text)
        try:
            result = await handle(job)
        except RuntimeError as error:
            job["tries"] += 1
            again = "jobs" if job["tries"] < TRIES else "dead"
            await queue.aio.lpush(again, json.dumps(job | {"error": str(error)}))
        else:
            await queue.aio.rpush("results", result)
        await queue.aio.lrem(mine, 1, text)


async def run() -> None:
    workers = [asyncio.create_task(work(number)) for number in range(4)]
    for number in range(20):
        await submit(f"job {number}", fails={3: 1, 7: 2, 13: 99}.get(number, 0))
    results = [await queue.aio.blpop("results", timeout=10) for _ in range(19)]
    print(len(results), "done")
    if dead := await queue.aio.blpop("dead", timeout=10):
        print(json.loads(dead[1])["name"], "failed", TRIES, "times")
    for worker in workers:
        worker.cancel()  # nothing is popped for a task that is cancelled
    await asyncio.gather(*workers, return_exceptions=True)


if __name__ == "__main__":
    with queue:
        asyncio.run(run())
