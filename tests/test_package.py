"""The package: what the extension exports, what the sdist holds, where it builds."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tarfile
import venv
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SDIST_TIMEOUT_S = 300


def load_script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"kevyrt_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def build_script() -> ModuleType:
    return load_script(REPOSITORY / "setup.py")


@pytest.fixture(scope="module")
def extension() -> Path:
    spec = importlib.util.find_spec("kevyrt._core")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin)


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=SDIST_TIMEOUT_S,
    )
    assert result.returncode == 0, f"{command}:\n{result.stdout}{result.stderr}"
    return result.stdout


# ---- The extension -------------------------------------------------------------------------------


def test_only_the_init_function_is_exported(extension: Path) -> None:
    listing = run("nm", "-D", "--defined-only", extension, cwd=REPOSITORY)
    assert [line.split()[-1] for line in listing.splitlines()] == ["PyInit__core"]


def test_liburing_is_not_linked_dynamically(extension: Path) -> None:
    listing = run("readelf", "--dynamic", extension, cwd=REPOSITORY)
    needed = [line for line in listing.splitlines() if "(NEEDED)" in line]
    assert any("libc.so" in line for line in needed)
    assert not [line for line in needed if "uring" in line]


# ---- Where it builds -----------------------------------------------------------------------------


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_supported_platforms(build_script: ModuleType, machine: str) -> None:
    build_script.require_platform("Linux", machine)


@pytest.mark.parametrize(
    ("system", "machine"),
    [("Darwin", "arm64"), ("Windows", "AMD64"), ("Linux", "riscv64"), ("Linux", "i686")],
)
def test_other_platforms_get_one_sentence(
    build_script: ModuleType, system: str, machine: str
) -> None:
    with pytest.raises(SystemExit) as raised:
        build_script.require_platform(system, machine)
    assert raised.value.code == (
        f"kevyrt builds only on Linux on x86-64 and arm64; this is {system} on {machine}."
    )


def test_without_liburing_epoll_is_left(
    build_script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("KEVYRT_NO_URING", "1")
    toolchain = build_script.Toolchain("0.0.0")
    assert not toolchain.uring
    assert not [flag for flag in [*toolchain.compile, *toolchain.link] if "uring" in flag.lower()]


@pytest.mark.parametrize(
    ("variable", "value", "flag"),
    [
        ("KEVYRT_SANITIZE", "address,undefined", "-fsanitize=address,undefined"),
        ("KEVYRT_SANITIZE", "thread", "-fsanitize=thread"),
        ("KEVYRT_DEBUG", "1", "-DKRT_DEBUG=1"),
    ],
)
def test_modes(
    build_script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    flag: str,
) -> None:
    monkeypatch.chdir(REPOSITORY)
    for name in ("KEVYRT_SANITIZE", "KEVYRT_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    plain = build_script.Toolchain("0.0.0")
    monkeypatch.setenv(variable, value)
    special = build_script.Toolchain("0.0.0")
    assert flag in special.compile and flag not in plain.compile
    assert special.key != plain.key, "two modes would share their objects"


def test_a_changed_header_rebuilds(build_script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "one.h").write_text("enum { ONE = 1 };\n")
    source = tmp_path / "one.c"
    source.write_text('#include "one.h"\nint one(void);\nint one(void) { return ONE; }\n')
    toolchain = build_script.Toolchain.__new__(build_script.Toolchain)
    toolchain.cc, toolchain.compile = ["cc"], ["-fPIC"]
    objects = build_script.Objects(toolchain, tmp_path / "objects", [str(tmp_path)])
    (target,) = objects.build([str(source)], 1)
    first = target.stat().st_mtime_ns
    # Sources written in the same tick of the clock count as changed, so the past makes them old.
    for path in (source, tmp_path / "one.h"):
        os.utime(path, ns=(first - 10**9, first - 10**9))
    objects.build([str(source)], 1)
    assert target.stat().st_mtime_ns == first
    os.utime(tmp_path / "one.h", ns=(first + 1, first + 1))
    objects.build([str(source)], 1)
    assert target.stat().st_mtime_ns > first


# ---- The sdist -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, folder, cwd=REPOSITORY)
    (archive,) = folder.glob("kevyrt-*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def wheels() -> ModuleType:
    return load_script(REPOSITORY / "scripts" / "wheels.py")


def test_sdist_holds_the_sources(sdist: Path, wheels: ModuleType) -> None:
    wheels.check_sdist(sdist)
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "csrc").rglob("*")
        if path.suffix in {".c", ".h", ".inc", ".def"}
    }
    sources |= {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "kevyrt").rglob("*")
        if path.suffix in {".py", ".pyi", ".typed"}
    }
    assert len(sources) > 100
    assert sources <= names
    assert {"LICENSE", "licenses/liburing.txt", "README.md", "setup.py"} <= names
    assert {"scripts/probe_uring.c", "scripts/exports.map"} <= names


@pytest.mark.timeout(SDIST_TIMEOUT_S)
def test_sdist_installs_into_a_clean_environment(
    sdist: Path, wheels: ModuleType, tmp_path: Path
) -> None:
    """Built by this environment's setuptools and installed offline: the contents are tested.

    All Pythons, portable wheels and environments without a compiler are a campaign,
    tests/long/wheels.py.
    """
    # -O0 and no LTO: the tree was built in earnest before.
    quick = {"KEVYRT_DEBUG": "1", "CFLAGS": "-O0"}
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path]
    run(sys.executable, "-m", "pip", "wheel", *offline, sdist, cwd=tmp_path, **quick)
    (wheel,) = tmp_path.glob("kevyrt-*.whl")
    wheels.check_wheel_names(wheel)

    environment = tmp_path / "env"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-index", wheel, cwd=tmp_path)
    trial = (python, wheels.INSTALLED, environment)
    assert "kevyrt" in run(*trial, cwd=tmp_path)
    assert "epoll" in run(python, wheels.WITHOUT_URING, *trial, "epoll", cwd=tmp_path)
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", python)
    run(*mypy, "--cache-dir", tmp_path / "mypy", wheels.TYPED, cwd=tmp_path)
    run(python, wheels.TYPED, cwd=tmp_path)
