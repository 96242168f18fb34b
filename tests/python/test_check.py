"""kevyrt-check: dumps, logs and manifests, whole, torn and damaged, beside Redis's programs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.rdb_files import OLD_VALUES, dump_file, length, number, text
from programs import environment

from kevyrt import _core
from kevyrt.check import check, main

VALUES = [(n.encode(), v) for n, v in OLD_VALUES.items() if v.since <= (7, 0)]
AUX = b"\xfa" + text(b"redis-ver") + text(b"7.0.15") + b"\xfa" + text(b"ctime") + number(5)
EXPIRED = b"\xfc" + (1000).to_bytes(8, "little") + b"\x00" + text(b"gone") + text(b"v")
WHOLE = dump_file(VALUES, 10, AUX + b"\xfe" + length(3) + EXPIRED)
SET = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"


def redis_says(program: str, path: Path) -> bool | None:
    """None: it is not installed."""
    if shutil.which(program) is None:
        return None
    done = subprocess.run([program, str(path)], capture_output=True, timeout=20, check=False)
    return done.returncode == 0


def _write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_dump(tmp_path: Path) -> None:
    path = _write(tmp_path, "dump.rdb", WHOLE)
    good, report = check(str(path))
    assert good
    assert report[0] == f"[offset 0] Checking RDB file {path}"
    assert report[1] == "[offset 27] AUX FIELD redis-ver = '7.0.15'"
    assert f"[offset {len(WHOLE)}] Checksum OK" in report
    assert f"[offset {len(WHOLE)}] \\o/ RDB looks OK! \\o/" in report
    assert report[-2:] == [f"[info] {len(VALUES) + 1} keys read", "[info] 1 already expired"]
    assert redis_says("redis-check-rdb", path) in (True, None)


@pytest.mark.parametrize("version", [1, 4, 5, 12])
def test_dump_of_any_version(version: int, tmp_path: Path) -> None:
    path = _write(tmp_path, "dump.rdb", dump_file(VALUES, version))
    good, report = check(str(path))
    assert good
    assert any("Checksum OK" in line for line in report) == (version >= 5)


@pytest.mark.parametrize("at", [3, 5, 6, 12, 100, 5000, len(WHOLE) - 9, len(WHOLE) - 1])
def test_damaged_dump(at: int, tmp_path: Path) -> None:
    cut = _write(tmp_path, "cut.rdb", WHOLE[:at])
    changed = bytearray(WHOLE)
    changed[at] ^= 0x80
    broken = _write(tmp_path, "changed.rdb", bytes(changed))
    for path in (broken, cut) if at >= 5 else (broken,):
        before = path.read_bytes()
        for fix in (False, True):
            good, report = check(str(path), fix=fix)
            assert not good
            if at >= 5:
                assert "--- RDB ERROR DETECTED ---" in report
                assert report[-1].startswith("[offset ")
        assert path.read_bytes() == before
        assert redis_says("redis-check-rdb", path) in (False, None)
    assert at < 5 or report[-1].startswith(f"[offset {at}] it ends too soon")


def test_without_a_checksum(tmp_path: Path) -> None:
    path = _write(tmp_path, "dump.rdb", WHOLE[:-8] + bytes(8))
    good, report = check(str(path))
    assert good
    assert any("checksum disabled" in line for line in report)


def test_log(tmp_path: Path) -> None:
    """Also one that begins with a dump. Only the end of one that is torn is cut off."""
    for begin in (b"", WHOLE):
        path = _write(tmp_path, "appendonly.aof", begin + SET * 3)
        assert check(str(path))[0]
        assert redis_says("redis-check-aof", path) in (True, None)
        path.write_bytes(begin + SET * 3 + SET[:10])
        assert not check(str(path))[0]
        assert redis_says("redis-check-aof", path) in (False, None)
        good, report = check(str(path), fix=True)
        assert good, report
        assert path.read_bytes() == begin + SET * 3
        assert check(str(path))[0]


def test_manifest(tmp_path: Path) -> None:
    _write(tmp_path, "appendonly.aof.1.base.rdb", WHOLE)
    incremental = _write(tmp_path, "appendonly.aof.1.incr.aof", SET * 2)
    manifest = _write(
        tmp_path,
        "appendonly.aof.manifest",
        b"file appendonly.aof.1.base.rdb seq 1 type b\n"
        b"file appendonly.aof.1.incr.aof seq 1 type i\n",
    )
    good, report = check(str(manifest))
    assert good, report
    incremental.write_bytes(SET * 2 + SET[:10])
    assert not check(str(manifest))[0]
    assert check(str(manifest), fix=True)[0]
    assert incremental.read_bytes() == SET * 2
    incremental.unlink()
    assert not check(str(manifest))[0]


def test_who_agrees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path, "appendonly.aof", SET + SET[:10])
    questions: list[str] = []

    def answer(text: str) -> Callable[[str], str]:
        def ask(question: str) -> str:
            questions.append(question)
            return text

        return ask

    monkeypatch.setattr("builtins.input", answer("n"))
    assert main(["--fix", str(path)]) == 1
    assert path.read_bytes() == SET + SET[:10]
    monkeypatch.setattr("builtins.input", answer("y"))
    assert main(["--fix", str(path)]) == 0
    assert path.read_bytes() == SET
    assert questions == ["Continue? [y/N]: "] * 2
    assert "This will shrink the AOF" in capsys.readouterr().out
    path.write_bytes(SET + SET[:10])
    assert main(["--fix", "--yes", str(path)]) == 0
    assert path.read_bytes() == SET


def test_what_is_told_may_raise(tmp_path: Path) -> None:
    path = _write(tmp_path, "dump.rdb", WHOLE)

    def say(line: str) -> None:
        raise KeyError(line)

    with pytest.raises(KeyError):
        _core.check(str(path), False, 0, say, say)


def test_nothing_of_ours(tmp_path: Path) -> None:
    """Whatever it is, it is not cut."""
    for content in (b"hello", b"\x7fELF", b"REDI", b"+OK\r\n"):
        path = _write(tmp_path, "other", content)
        assert not check(path, fix=True)[0]
        assert path.read_bytes() == content


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write(tmp_path, "dump.rdb", WHOLE)
    missing = tmp_path / "missing.rdb"
    assert main([str(path)]) == 0
    assert "RDB looks OK" in capsys.readouterr().out
    assert main([str(path), str(missing)]) == 1
    assert f"Cannot read {missing}: No such file" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([])
    done = subprocess.run(
        [sys.executable, "-m", "kevyrt.check", str(path), str(missing)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert "RDB looks OK" in done.stdout
