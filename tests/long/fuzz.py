"""libFuzzer on what reads bytes of strangers: ./test --long fuzz --minutes 30

Each target begins with its committed corpus. What it finds beyond stays in build/fuzz/NAME.corpus
for the next campaign; an input that fails is in build/fuzz/NAME.failures. What is worth keeping
goes into the committed corpus by

    build/fuzz/fuzz_NAME -merge=1 -use_counters=0 tests/c/fuzz/corpus/NAME build/fuzz/NAME.corpus
"""

from __future__ import annotations

import subprocess

import pytest
from test_c_units import FUZZ_SOURCES, REPOSITORY, SANITIZER_OPTIONS, fuzz_corpus, make_fuzzer

FUZZ_FOLDER = REPOSITORY / "build" / "fuzz"
ONE_INPUT_TIMEOUT_S = 20
MAX_INPUT_BYTES = 4096


@pytest.mark.timeout(0)
@pytest.mark.parametrize("source", FUZZ_SOURCES, ids=lambda path: path.stem)
def test_fuzz(source, duration_s: float) -> None:
    name = source.stem.removeprefix("fuzz_")
    program = make_fuzzer(source)
    found = FUZZ_FOLDER / f"{name}.corpus"
    failures = FUZZ_FOLDER / f"{name}.failures"
    for folder in (found, failures):
        folder.mkdir(parents=True, exist_ok=True)
    words = source.parent / f"{name}.dict"
    done = subprocess.run(
        [
            *(str(program), str(found), str(fuzz_corpus(source))),
            *([f"-dict={words}"] if words.exists() else []),
            f"-max_total_time={int(duration_s / len(FUZZ_SOURCES))}",
            f"-max_len={MAX_INPUT_BYTES}",
            f"-timeout={ONE_INPUT_TIMEOUT_S}",
            f"-artifact_prefix={failures}/",
            "-print_final_stats=1",
        ],
        cwd=REPOSITORY,
        env=SANITIZER_OPTIONS,
        capture_output=True,
        text=True,
        errors="replace",
    )
    print(done.stderr[-2000:])
    assert done.returncode == 0, done.stderr[-20000:]
