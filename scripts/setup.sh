#!/bin/sh
# Prepare the virtual environment in .venv and what pip cannot install.
# Usage: scripts/setup.sh PROFILE...   (server client store trading dev: the requirements-*.txt files)
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
fail() { say "setup: $*"; exit 1; }

set_files=""
for profile in "$@"; do
    [ -f "requirements-$profile.txt" ] || fail "no requirements-$profile.txt; profiles are: server client store trading dev"
    set_files="$set_files requirements-$profile.txt"
done

as_root=""
may_apt() {
    command -v apt-get >/dev/null 2>&1 || return 1
    [ "$(id -u)" = 0 ] && return 0
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as_root="sudo -n"; return 0; fi
    return 1
}
apt_install() {
    say "setup: installing $* with apt-get"
    $as_root apt-get update -qq >&2 &&
        DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# A Python that the wheels of our dependencies are built for.
find_python() {
    for candidate in ${PYTHON:-} python3 python3.12 python3.11 python3.10; do
        "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
            >/dev/null 2>&1 && { command -v "$candidate"; return 0; }
    done
    return 1
}
# An environment of another version than the one asked for is made anew.
if [ -n "${PYTHON:-}" ] && [ -x .venv/bin/python ] &&
    [ "$(.venv/bin/python --version)" != "$("$PYTHON" --version 2>&1)" ]; then
    say "setup: .venv has $(.venv/bin/python --version), not that of $PYTHON"
    rm -rf .venv
fi
if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c 'import pip' >/dev/null 2>&1; then
    if ! python=$(find_python); then
        { may_apt && apt_install python3 python3-venv && python=$(find_python); } ||
            fail "no Python 3.10, 3.11 or 3.12 found; install one, or name it: make PYTHON=/path/to/python3.12 …"
    fi
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        { may_apt && apt_install python3-venv; } ||
            fail "$python cannot make virtual environments; install the package python3-venv"
    fi
    say "setup: making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
fi

# Install what changed since the last time; the stamp is the text of the files themselves.
for file in $set_files; do
    if ! cmp -s "$file" ".venv/installed-$file"; then missing=yes; fi
done
if [ "${missing:-no}" = yes ]; then
    say "setup: installing$set_files"
    requirement_options=""
    for file in $set_files; do requirement_options="$requirement_options -r $file"; done
    # shellcheck disable=SC2086
    .venv/bin/python -m pip install --quiet --disable-pip-version-check $requirement_options ||
        fail "pip could not install the packages above; is a package index reachable?"
    for file in $set_files; do cp "$file" ".venv/installed-$file"; done
fi

wants() { case " $profiles " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }
profiles="$*"

# The server runs inside a JVM and compiles formulas: a JDK, not only a JRE.
if wants server && ! .venv/bin/python server/jdk.py >/dev/null 2>&1; then
    if [ -z "${JAVA_HOME:-}" ] && may_apt; then
        apt_install openjdk-17-jdk-headless || apt_install default-jdk-headless ||
            fail "apt-get could not install a JDK; install one of version 17 or later by hand"
    fi
    .venv/bin/python server/jdk.py >/dev/null || exit 1
fi

# The browser test drives Debian's Chromium; without it that test is skipped and says so.
if wants dev && ! command -v chromium >/dev/null 2>&1 && may_apt; then
    apt_install chromium || say "setup: no Chromium, the browser test will be skipped"
fi
