"""Django's own tests of caches, with its Redis cache in the server: ./test --long django_suite

They are in Django's source distribution, which is fetched from PyPI.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import django
import pytest
from test_c_units import REPOSITORY

import kevyrt

SETTINGS = """
CACHES = {"default": {
    "BACKEND": "django.core.cache.backends.redis.RedisCache",
    "LOCATION": "LOCATION_URL",
    "OPTIONS": {OPTIONS},
}}
DATABASES = {name: {"ENGINE": "django.db.backends.sqlite3"} for name in ("default", "other")}
SECRET_KEY = "tests"
USE_TZ = False
"""
RUN = """
import runpy, sys
import kevyrt

server = kevyrt.Server(name="cache").start()
sys.path.insert(0, "")
sys.argv = ["runtests.py", "--settings=settings_of_kevyrt", "--parallel=1", *sys.argv[1:]]
runpy.run_path("runtests.py", run_name="__main__")
"""
LABELS = ["cache.tests.RedisCacheTests", "cache.tests_async"]
# Thereby it loses the class of the pool.
REPLACES_OPTIONS = "test_redis_pool_options"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("django")
    wanted = ["--no-deps", "--no-binary=:all:", f"Django=={django.__version__}"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *wanted], cwd=folder, check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    (tests,) = folder.glob("*/tests")
    return tests


def run(suite: Path, location: str, options: str) -> str:
    text = SETTINGS.replace("LOCATION_URL", location).replace("{OPTIONS}", options)
    (suite / "settings_of_kevyrt.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", RUN, *LABELS],
        cwd=suite,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    ran = re.search(r"Ran (\d+) tests", done.stderr)
    assert ran and int(ran[1]) > 70, done.stderr[-8000:]
    print(done.stderr[-300:])
    return done.stderr


def failed(output: str) -> list[str]:
    return re.findall(r"^(?:FAIL|ERROR): (\w+)", output, re.M)


@pytest.mark.timeout(900)
def test_by_url(suite: Path) -> None:
    with kevyrt.Server() as server:
        # A database that is in the URL cannot be changed by the options of a test.
        output = run(suite, str(server.url).removesuffix("/0"), "{}")
    assert failed(output) == [], output[-8000:]


@pytest.mark.timeout(900)
def test_by_name(suite: Path) -> None:
    output = run(suite, "kevyrt://cache", '{"pool_class": "kevyrt.redis.ConnectionPool"}')
    assert failed(output) == [REPLACES_OPTIONS], output[-8000:]
