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

wants() { case " $profiles " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }
profiles="$*"

# The newest Python that has wheels of all that was asked for. Java is reached by jpy, which has
# none for Python 3.14; the store, the graph, workflows and clients do without it.
newest=14
wants server && newest=13
suits() { "$1" -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, $newest))" >/dev/null 2>&1; }
needs="Python 3.10 to 3.$newest"
wants server && needs="$needs (the server reaches Java by jpy, which has no wheel for 3.14 yet; the store and client profiles work there)"
find_python() {
    for candidate in python3 python3.13 python3.12 python3.11 python3.10 python3.14; do
        if suits "$candidate"; then command -v "$candidate"; return 0; fi
    done
    return 1
}
# uv, where it is installed, brings a Python of its own and leaves the system's alone.
fetch_python() {
    command -v uv >/dev/null 2>&1 || return 1
    say "setup: fetching Python 3.13 with uv"
    uv python install --quiet 3.13 >&2 && fetched=$(uv python find 3.13) && suits "$fetched" && printf '%s\n' "$fetched"
}
if [ -n "${PYTHON:-}" ] && ! suits "$PYTHON"; then
    fail "PYTHON=$PYTHON is $("$PYTHON" --version 2>/dev/null || echo "no program"); needed is $needs"
fi
# An environment of another version than the one asked for is made anew.
if [ -n "${PYTHON:-}" ] && [ -x .venv/bin/python ] &&
    [ "$(.venv/bin/python --version)" != "$("$PYTHON" --version 2>&1)" ]; then
    say "setup: .venv has $(.venv/bin/python --version), not that of $PYTHON"
    rm -rf .venv
fi
if [ -x .venv/bin/python ] && ! suits .venv/bin/python; then
    say "setup: .venv has $(.venv/bin/python --version); needed is $needs"
    python=${PYTHON:-$(find_python || fetch_python)} || fail "no such Python was found; install python3.13, or uv, which fetches one"
    rm -rf .venv
fi
if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c 'import pip' >/dev/null 2>&1; then
    if ! python=${PYTHON:-$(find_python || fetch_python)}; then
        { may_apt && apt_install python3 python3-venv && python=$(find_python); } ||
            fail "no $needs was found; install python3.13, or uv, which fetches one, or name it: make PYTHON=/path/to/python3.13 …"
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

# The server runs inside a JVM and compiles formulas: a JDK, not only a JRE.
if wants server && ! .venv/bin/python server/jdk.py >/dev/null 2>&1; then
    if [ -z "${JAVA_HOME:-}" ] && may_apt; then
        # Debian 13 has 21, Debian 12 has 17.
        $as_root apt-get update -qq >&2 || true
        jdk=default-jdk-headless
        for version in 21 17; do
            if apt-cache show "openjdk-$version-jdk-headless" >/dev/null 2>&1; then
                jdk=openjdk-$version-jdk-headless
                break
            fi
        done
        apt_install "$jdk" ||
            fail "apt-get could not install a JDK; install one of version 17 or later by hand"
    fi
    .venv/bin/python server/jdk.py >/dev/null || exit 1
fi

# A server starts in half the time where Java finds its classes loaded and checked.
if wants server && { [ "${missing:-no}" = yes ] || ! ls .venv/var/classes-*.jsa >/dev/null 2>&1; }; then
    say "setup: preparing Java's classes"
    .venv/bin/python -m server.class_archive || say "setup: the server starts without prepared classes, in twice the time"
fi

# The alert rules are checked, and the figures scraped, by Debian's Prometheus: its two programs alone.
if wants dev && ! [ -x .venv/prometheus/promtool ] && ! command -v promtool >/dev/null 2>&1 && may_apt; then
    (
        unpacked=$(mktemp -d) && trap 'rm -rf "$unpacked"' EXIT && cd "$unpacked" &&
            $as_root apt-get download -qq prometheus >/dev/null 2>&1 && dpkg -x prometheus_*.deb . &&
            mkdir -p "$OLDPWD/.venv/prometheus" && cp usr/bin/prometheus usr/bin/promtool "$OLDPWD/.venv/prometheus/"
    ) || say "setup: no Prometheus, the tests of its rules will be skipped"
fi

# The browser test drives Debian's Chromium; without it that test is skipped and says so.
if wants dev && ! command -v chromium >/dev/null 2>&1 && may_apt; then
    apt_install chromium || say "setup: no Chromium, the browser test will be skipped"
fi
