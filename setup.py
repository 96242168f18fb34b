"""Builds the extension module kevyrt._core from csrc/; everything else is in pyproject.toml.

setuptools compiles serially and, once one file has changed, everything again. The command here
compiles in parallel and only what changed, headers included, and keeps the objects of each way of
building apart.

KEVYRT_SANITIZE=address,undefined   build with these sanitizers (or: thread)
KEVYRT_DEBUG=1                      turn on KRT_DCHECK
KEVYRT_NO_URING=1                   build as if liburing were absent
CC, CFLAGS, LDFLAGS                 as usual; the flags come last
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

MACHINES = {"x86_64": "x86-64", "aarch64": "arm64"}
COMPILE = [
    *("-std=gnu11", "-g", "-fPIC", "-pthread", "-Wall", "-Wextra"),
    *("-fvisibility=hidden", "-fno-semantic-interposition", "-fno-plt"),
    # Structures are filled member by member and read at once: two members in one wide load would
    # wait for both stores.
    "-fno-tree-slp-vectorize",
]
EXPORTS = Path("scripts/exports.map")
LINK = [
    *("-shared", "-pthread", "-lm", f"-Wl,--version-script={EXPORTS}"),
    "-Wl,-z,relro,-z,now",
]
URING = ["-l:liburing.a"]
URING_PROBE = Path("scripts/probe_uring.c")


def require_platform(system: str, machine: str) -> None:
    """Ends the build with one sentence where kevyrt cannot run."""
    if system != "Linux" or machine not in MACHINES:
        supported = " and ".join(MACHINES.values())
        here = f"{system} on {machine}"
        raise SystemExit(f"kevyrt builds only on Linux on {supported}; this is {here}.")


def run(command: list[str]) -> None:
    """Runs a compiler or linker; its messages are shown, and in full when it fails."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        raise CompileError(f"{shlex.join(command)}\n{result.stdout}")
    if result.stdout:
        print(result.stdout, end="", flush=True)


class Toolchain:
    """The compiler and the flags that the environment and the machine lead to."""

    def __init__(self, version: str) -> None:
        self.cc = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
        if shutil.which(self.cc[0]) is None:
            self.cc = ["cc"]
        self.compile = [*COMPILE, f'-DKRT_VERSION="{version}"']
        self.link = list(LINK)
        self._set_mode()
        self.uring = os.environ.get("KEVYRT_NO_URING", "") in ("", "0") and self._has_uring()
        if self.uring:
            self.compile.append("-DKRT_HAVE_URING=1")
            self.link.extend(URING)
        self.compile.extend(shlex.split(os.environ.get("CFLAGS", "")))
        self.link.extend(shlex.split(os.environ.get("LDFLAGS", "")))

    @property
    def key(self) -> str:
        """Names the folder of the objects: equal keys mean interchangeable objects."""
        text = "\0".join([*self.cc, *self.compile, *self.link])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _set_mode(self) -> None:
        sanitize = os.environ.get("KEVYRT_SANITIZE", "")
        debug = os.environ.get("KEVYRT_DEBUG", "") not in ("", "0")
        if sanitize:
            self.compile += [f"-fsanitize={sanitize}", "-fno-omit-frame-pointer"]
            self.link.append(f"-fsanitize={sanitize}")
        if sanitize or debug:
            self.compile += ["-O1", "-DKRT_DEBUG=1"]
        else:
            # NDEBUG is for the assertions in Python's headers; ours do not look at it.
            self.compile += ["-O2", "-DNDEBUG"]
            self._add_lto()

    def _add_lto(self) -> None:
        """Link-time optimization inlines the hot path across files. gcc spells it `auto`."""
        for flag in ("-flto=auto", "-flto"):
            if self._links("int probe_lto(void) { return 0; }\n", ["-O2", flag]):
                self.compile.append(flag)
                self.link += ["-O2", flag]
                return

    def _has_uring(self) -> bool:
        return self._links(URING_PROBE.read_text(), [], ["-Wl,-z,defs", *URING])

    def _links(self, source: str, flags: list[str], libraries: list[str] | None = None) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "probe.c")
            path.write_text(source)
            command = [*self.cc, "-shared", "-fPIC", *flags, str(path), "-o", f"{folder}/probe.so"]
            result = subprocess.run([*command, *(libraries or [])], capture_output=True)
            return result.returncode == 0


class Objects:
    """The objects of one toolchain: which are out of date, and how they come about."""

    def __init__(self, toolchain: Toolchain, folder: Path, include: list[str]) -> None:
        self.toolchain = toolchain
        self.folder = folder
        self.include = [f"-I{path}" for path in include]

    def build(self, sources: list[str], jobs: int) -> list[Path]:
        objects = [self.folder / Path(source).with_suffix(".o") for source in sources]
        stale = [pair for pair in zip(sources, objects, strict=True) if self._is_stale(pair[1])]
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(lambda pair: self._compile(*pair), stale))
        return objects

    def _compile(self, source: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        inputs = ["-MMD", "-MF", str(target.with_suffix(".d"))]
        flags = [*self.toolchain.compile, *self.include, *inputs]
        run([*self.toolchain.cc, *flags, "-c", source, "-o", str(partial)])
        partial.replace(target)

    @staticmethod
    def _is_stale(target: Path) -> bool:
        try:
            built = target.stat().st_mtime_ns
            _, _, inputs = target.with_suffix(".d").read_text().replace("\\\n", " ").partition(":")
            return any(os.stat(name).st_mtime_ns >= built for name in inputs.split())
        except FileNotFoundError:
            return True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Two builds in one tree take turns."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class BuildCore(build_ext):
    """Builds kevyrt._core. `--parallel` says how many compilers; by default one per usable core."""

    def build_extension(self, ext: Extension) -> None:
        require_platform(platform.system(), platform.machine())
        toolchain = Toolchain(self.distribution.get_version())
        if not toolchain.uring:
            print("kevyrt: no static liburing 2.3 or newer: building with epoll alone", flush=True)
        # Not build_temp: an editable install would make it a temporary folder and lose the objects.
        folder = Path("build", "objects", f"{sysconfig.get_config_var('SOABI')}-{toolchain.key}")
        python = [sysconfig.get_path("include"), sysconfig.get_path("platinclude")]
        with locked(folder):
            jobs = int(self.parallel or len(os.sched_getaffinity(0)))
            objects = Objects(toolchain, folder, [*ext.include_dirs, *python])
            module = self._link(toolchain, folder, objects.build(ext.sources, jobs))
            target = Path(self.get_ext_fullpath(ext.name))
            target.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(str(module), str(target))

    def _link(self, toolchain: Toolchain, folder: Path, objects: list[Path]) -> Path:
        module = folder / "module.so"
        names = "\n".join(map(str, objects))
        listing = folder / "objects.txt"
        if not listing.exists() or listing.read_text() != names:
            listing.write_text(names)
        newest = max(path.stat().st_mtime_ns for path in [*objects, listing])
        if not module.exists() or module.stat().st_mtime_ns <= newest:
            partial = folder / "module.partial"
            run([*toolchain.cc, *map(str, objects), "-o", str(partial), *toolchain.link])
            partial.replace(module)
        return module


if __name__ == "__main__":
    setup(
        ext_modules=[
            Extension(
                "kevyrt._core",
                sources=sorted(str(path) for path in Path("csrc").rglob("*.c")),
                depends=sorted(str(path) for path in Path("csrc").rglob("*.[hd]*")),
                include_dirs=["csrc"],
            )
        ],
        cmdclass={"build_ext": BuildCore},
    )
