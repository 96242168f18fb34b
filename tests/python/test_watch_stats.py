"""Server.watch_stats(): samples, charts, and the thread's ends."""

from __future__ import annotations

import contextlib
import gc
import itertools
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import fields

import pytest
from programs import Program

import kevyrt
from kevyrt import _show
from kevyrt._show import series
from kevyrt._watch import WatchSample

SVG = "{http://www.w3.org/2000/svg}"
PATIENCE_S = 30


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.005)


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "kevyrt-watch"]


def texts(html: str) -> list[str]:
    tree = ElementTree.fromstring(html)
    return ["".join(element.itertext()) for element in tree.iter(f"{SVG}text")]


# ---- Samples -------------------------------------------------------------------------------------


def test_samples_add_up(server: kevyrt.Server) -> None:
    before = server.stats().total.commands
    with server.watch_stats(0.02) as watch:
        assert watch.running and watch.state == "running" and bool(watch)
        for number in range(5_000):
            server.set(f"k{number}", "x" * 100)
            server.get("k0")
        done = len(watch)
        until(lambda: len(watch) >= done + 2)
    assert not watch.running and watch.state == "stopped"
    samples = watch.samples
    assert len(samples) == len(watch) and list(watch) == list(samples)
    assert sum(s.commands_per_s * s.seconds for s in samples) == pytest.approx(
        server.stats().total.commands - before
    )
    assert samples[-1].keys == 5_000 == watch.stats.total.keys
    assert samples[-1].used_bytes == server.stats().total.used_bytes
    busy = [sample for sample in samples if sample.commands_per_s]
    assert busy and all(
        s.p50_ns is not None and s.p99_ns is not None and 0 < s.p50_ns <= s.p99_ns
        for s in busy
        if s.commands_per_s * s.seconds > 100
    )
    assert any(sample.hit_rate == 1 for sample in busy)
    assert samples[-1].commands_per_s == 0 and samples[-1].p50_ns is None
    assert all(a.time < b.time for a, b in itertools.pairwise(samples))


def test_only_the_latest_are_kept(server: kevyrt.Server) -> None:
    with server.watch_stats(0.005, keep=3) as watch:
        until(lambda: len(watch) == 3)
        first = watch.samples[0].time
        until(lambda: watch.samples[0].time > first)
        assert len(watch) == 3


def test_a_watch_is_a_look_at_hot_keys(server: kevyrt.Server) -> None:
    with server.watch_stats(0.02) as watch:
        while watch.stats.hot_kind != "accesses":
            server.get("hot")
        until(lambda: [key.name for key in watch.stats.hot_keys] == [b"hot"])


def test_arguments(server: kevyrt.Server) -> None:
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="seconds"):
            server.watch_stats(seconds)
    with pytest.raises(ValueError, match="keep"):
        server.watch_stats(keep=0)
    with pytest.raises(kevyrt.ServerStopped):
        kevyrt.Server(port=None).watch_stats()
    assert watchers() == []


# ---- Ends ----------------------------------------------------------------------------------------


def test_stop_ends_the_thread(server: kevyrt.Server) -> None:
    watch = server.watch_stats(3600)
    assert len(watchers()) == 1
    watch.stop()
    watch.stop()
    assert watchers() == [] and len(watch) == 0


def test_the_stop_of_the_server_ends_it() -> None:
    server = kevyrt.Server(port=None).start()
    watches = [server.watch_stats(3600), server.watch_stats(0.001)]
    server.stop()
    assert watchers() == []
    assert [watch.state for watch in watches] == ["the server has stopped"] * 2
    server.start()
    assert not watches[0].running
    server.stop()


def test_shutdown_ends_it() -> None:
    server = kevyrt.Server(port=None).start()
    watch = server.watch_stats(0.01)
    with contextlib.suppress(kevyrt.ServerStopped):
        server.execute("SHUTDOWN", "NOSAVE")
    until(lambda: not watch.running and not watchers())
    assert watch.state == "the server has stopped"


def test_it_keeps_no_server_alive() -> None:
    server = kevyrt.Server(port=None).start()
    watch = server.watch_stats(3600)
    del server
    gc.collect()
    until(lambda: not watchers())
    assert not watch.running and watch._repr_html_()


def test_a_server_that_is_collected_by_the_thread_ends_it() -> None:
    """Wherever the thread is, on its way to sleep too."""
    gc.collect()
    gc.disable()
    thresholds = gc.get_threshold()
    try:
        server = kevyrt.Server(port=None).start()
        watch = server.watch_stats(0.001, sample=0)
        server.cycle = server  # type: ignore[attr-defined]
        del server
        gc.set_threshold(1)  # at whatever is made next, which the thread does
        gc.enable()
        time.sleep(0.1)
        gc.collect()
        until(lambda: not watchers())
        assert watch.state == "the server has stopped"
    finally:
        gc.enable()
        gc.set_threshold(*thresholds)


def test_a_forgotten_watch_ends(server: kevyrt.Server) -> None:
    watch = server.watch_stats(3600)
    assert len(watchers()) == 1
    del watch
    gc.collect()
    until(lambda: not watchers())
    assert server.running


@pytest.mark.parametrize("ending", ["", "del server", "sys.exit(0)", "watch = None"])
@pytest.mark.parametrize("seconds", [0.001, 3600])
def test_the_interpreter_ends(program: Program, ending: str, seconds: float) -> None:
    program(
        f"""
        import sys
        import kevyrt
        server = kevyrt.Server(port=None, threads=2).start()
        watch = server.watch_stats({seconds})
        for number in range(2_000):
            server.set(number, number)
        {ending}
        """
    )


def test_in_a_forked_child(program: Program) -> None:
    """Forked while samples are taken: the child has what was noted, and no thread."""
    output = program(
        """
        import os, sys, threading, time
        import kevyrt
        with kevyrt.Server(port=None, threads=2) as server:
            watch = server.watch_stats(0.001)
            while len(watch) < 3:
                time.sleep(0.001)
            for _ in range(20):
                child = os.fork()
                if child == 0:
                    assert not watch.running and len(watch) >= 3
                    assert watch._repr_html_() and str(watch) and watch.samples and watch.to_dict()
                    watch.stop()
                    assert threading.active_count() == 1
                    with kevyrt.Server(port=None) as own, own.watch_stats(0.001) as other:
                        while len(other) < 2:
                            time.sleep(0.001)
                    os._exit(0)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert watch.running
        print("done")
        """
    )
    assert output == "done\n"


# ---- As values -----------------------------------------------------------------------------------


def test_to_dict_has_columns(server: kevyrt.Server) -> None:
    with server.watch_stats(0.005) as watch:
        until(lambda: len(watch) >= 3)
    columns = watch.to_dict()
    assert list(columns) == [field.name for field in fields(WatchSample)]
    assert {len(values) for values in columns.values()} == {len(watch)}


def test_to_pandas(server: kevyrt.Server) -> None:
    pytest.importorskip("pandas")
    with server.watch_stats(0.005) as watch:
        until(lambda: len(watch) >= 3)
    frame = watch.to_pandas()
    assert len(frame) == len(watch) and frame.index.name == "time"
    assert frame.index.is_monotonic_increasing and str(frame.index.tz) == "UTC"
    assert (frame["keys"] == 0).all() and "time" not in frame.columns


# ---- As charts -----------------------------------------------------------------------------------


class Watch:
    """What a chart is drawn of, with samples that are known."""

    state, seconds = "running", 1.0

    def __init__(self, samples: list[WatchSample]) -> None:
        self.samples = tuple(samples)

    def __len__(self) -> int:
        return len(self.samples)


def sample(second: float, **other: object) -> WatchSample:
    values: dict[str, object] = {field.name: 0 for field in fields(WatchSample)}
    values |= {"time": 1_700_000_000.0 + second, "seconds": 1.0, "p50_ns": 100, "p99_ns": 900}
    values |= {"p999_ns": 5_000, "used_bytes": 3 << 20, "commands_per_s": 1000.0, "hit_rate": None}
    return WatchSample(**{**values, **other})  # type: ignore[arg-type]


def html(samples: list[WatchSample]) -> str:
    return _show.watch_html(Watch(samples))  # type: ignore[arg-type]


def paths(page: str) -> list[list[tuple[float, float]]]:
    """The lines of the charts, without what is tinted below them."""
    found = []
    for element in ElementTree.fromstring(page).iter(f"{SVG}path"):
        if element.get("fill") == "none":
            points = [point.split() for point in element.attrib["d"][1:].split("L")]
            found.append([(float(x), float(y)) for x, y in points])
    return found


def test_charts_show_the_samples() -> None:
    page = html([sample(second, commands_per_s=100.0 * second) for second in range(1, 11)])
    throughput, *latency, memory = paths(page)
    assert len(latency) == 3 and len(throughput) == len(memory) == 10
    steps = {round(b[1] - a[1], 0) for a, b in itertools.pairwise(throughput)}
    assert len(steps) == 1 and steps.pop() < 0
    assert len({y for _, y in memory}) == 1
    shown = texts(page)
    for text in ("Throughput", "Latency", "Memory", "1000/s", "3.00\u2009MiB", "p99 900\u2009ns"):
        assert text in shown or text.replace("1000", "1,000") in shown, text


def test_a_line_has_gaps_where_nothing_was_measured() -> None:
    samples = [
        sample(s, p50_ns=None, p99_ns=None, p999_ns=None) if 4 <= s < 7 else sample(s)
        for s in range(12)
    ]
    lengths = sorted(len(line) for line in paths(html(samples)))
    assert lengths == [4, 4, 4, 5, 5, 5, 12, 12]


@pytest.mark.parametrize("count", [0, 1, 2, 239, 240, 241, 3600, 100_000])
def test_a_page_is_small_however_many_samples_there_are(count: int) -> None:
    page = html([sample(s, p99_ns=900 + s % 7 * 1000, used_bytes=s << 12) for s in range(count)])
    assert len(page.encode()) < 60_000
    assert all(len(line) <= series.POINTS_MAX for line in paths(page))
    shown = texts(page)
    assert ("no samples yet" in shown) == (count == 0)
    if count > 1:
        moments = [text for text in shown if text.count(":") or " " in text[:3]]
        assert 2 <= len(moments) <= 3 * 10


def test_peaks_are_not_lost_where_samples_are_put_together() -> None:
    samples = [sample(s) for s in range(3600)]
    samples[1234] = sample(1234, p999_ns=800_000_000)
    page = html(samples)
    assert "1\u2009s" in texts(page), "the axis reaches the peak"


def test_everything_is_within_the_picture() -> None:
    samples = [
        sample(s, commands_per_s=float(10 ** (s % 8)), used_bytes=s * 7 << 20) for s in range(60)
    ]
    tree = ElementTree.fromstring(html(samples)).find(f"{SVG}svg")
    assert tree is not None
    _, _, width, height = map(float, tree.attrib["viewBox"].split())
    for line in paths(html(samples)):
        assert all(0 <= x <= width and 0 <= y <= height for x, y in line)
    for text in tree.iter(f"{SVG}text"):
        assert 0 <= float(text.attrib["x"]) <= width and 0 < float(text.attrib["y"]) <= height


def test_text_and_line(server: kevyrt.Server) -> None:
    with server.watch_stats(0.005) as watch:
        until(lambda: len(watch) >= 10)
    assert repr(watch) == f"<kevyrt.StatsWatch stopped, {len(watch)} samples, every 0.005 s>"
    assert len(str(watch).splitlines()) == 10
    page = watch._repr_html_()
    assert ElementTree.fromstring(page) is not None and "stopped" in page
