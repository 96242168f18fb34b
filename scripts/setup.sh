# Shell functions of ./run and ./test: system packages, the virtual environment, the build. Sourced
# by bash with the repository as the current folder.
#
# Each step leaves a stamp in .venv with a hash of what it depends on and is skipped while the hash is the same.

SETUPTOOLS=setuptools==84.2.1
RUN_PACKAGES=(gcc libc6-dev liburing-dev)
TEST_PACKAGES=(make libcmocka-dev redis-server redis-tools
    prometheus-redis-exporter)
VENV=.venv
PIP_QUIET=(--quiet --disable-pip-version-check --no-input)

say() {
    printf 'kevyrt: %s\n' "$*" >&2
}

die() {
    say "$@"
    exit 1
}

# ---- System packages -----------------------------------------------------------------------------

require_python() {
    command -v python3 >/dev/null || die "python3 is needed (3.10 or newer)"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "Python 3.10 or newer is needed; python3 is $(python3 -V)"
}

# The python3 in PATH need not be Debian's, so what it has is asked of itself.
python_has_headers() {
    python3 -c '
import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}

python_has_venv() {
    python3 -c 'import ensurepip, venv' 2>/dev/null
}

is_installed() {
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Prints what is missing of the packages named. Without dpkg only the compiler and Python can be asked for.
missing_packages() {
    local package
    for package in "$@"; do
        if command -v dpkg-query >/dev/null; then
            is_installed "$package" || echo "$package"
        elif [ "$package" = gcc ] && ! command -v cc >/dev/null; then
            echo "$package"
        fi
    done
    python_has_headers || echo python3-dev
    python_has_venv || echo python3-venv
}

ensure_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        die "missing system packages; as root: apt-get install ${missing[*]}"
    fi
    say "installing ${missing[*]}"
    install_packages "${missing[@]}" || die "apt-get could not install ${missing[*]}"
}

# Packages of servers start them when installed; here they are programs for tests, and port 6379 is ours.
install_packages() (
    export DEBIAN_FRONTEND=noninteractive
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    apt-get update -qq >&2 &&
        apt-get install -qq --no-install-recommends "$@" >"$LOG" 2>&1 || { cat "$LOG" >&2; return 1; }
)

# ---- Steps with stamps ---------------------------------------------------------------------------

# once NAME HASH COMMAND...: runs the command unless it succeeded before with the same hash.
once() {
    local stamp="$VENV/stamps/$1" hash="$2"
    shift 2
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$hash" ] && return
    "$@" || die "this failed: $*"
    mkdir -p "$VENV/stamps"
    printf '%s\n' "$hash" >"$stamp"
}

hash_of() {
    printf '%s\n' "$@" | sha256sum
}

hash_of_files() {
    find "$@" -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum
}

make_venv() {
    rm -rf "$VENV"
    say "making $VENV with $(python3 -V)"
    python3 -m venv "$VENV" && "$VENV/bin/python" -m pip install "${PIP_QUIET[@]}" "$SETUPTOOLS"
}

# Editable, so that the folder itself is the package and tests and servers see the sources as they are.
install_package() {
    say "building and installing"
    "$VENV/bin/python" -m pip install "${PIP_QUIET[@]}" --no-deps --no-build-isolation --editable .
}

build_extension() {
    say "building"
    "$VENV/bin/python" setup.py --quiet build_ext --inplace
}

# ---- What ./run and ./test call ------------------------------------------------------------------

set_up_to_run() {
    LOG=$(mktemp)
    trap 'rm -f "$LOG"' EXIT
    require_python
    ensure_packages "${RUN_PACKAGES[@]}" "$@"
    # The environment names its Python and its own place, so a move or a new Python makes a new one.
    local python
    python=$(python3 -c 'import sys; print(sys.version, sys.base_prefix)')
    once venv "$(hash_of "$PWD" "$python" "$SETUPTOOLS")" make_venv
    # Once installed, a change of sources needs the extension only, and the installed command stays.
    once package "$(hash_of_files pyproject.toml scripts/setup.sh)" install_package
    once extension "$(hash_of "$(hash_of_files setup.py pyproject.toml csrc scripts/probe_uring.c)" \
        "${CC-}" "${CFLAGS-}" "${LDFLAGS-}" \
        "${KEVYRT_SANITIZE-}" "${KEVYRT_DEBUG-}" "${KEVYRT_NO_URING-}")" build_extension
    rm -f "$LOG"
    trap - EXIT
}

set_up_to_test() {
    set_up_to_run "${TEST_PACKAGES[@]}"
    once tests "$(hash_of_files tests/requirements.txt)" install_test_packages
}

install_test_packages() {
    say "installing the packages of the tests"
    "$VENV/bin/python" -m pip install "${PIP_QUIET[@]}" --requirement tests/requirements.txt
}
