#!/bin/sh
# Start the server as a service: with or without a terminal, until Ctrl-C or SIGTERM.
# It runs in the first of $PYTHON, an activated environment, .venv, and python3 on PATH that has
# what requirements-server.txt names.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

for python in "${PYTHON:-}" "${VIRTUAL_ENV:+$VIRTUAL_ENV/bin/python}" "$root/.venv/bin/python" python3; do
    if [ -n "$python" ] && "$python" -c '
import importlib.util, sys
sys.exit(importlib.util.find_spec("deephaven_server") is None)' 2>/dev/null; then
        exec "$python" "$root/server/app.py" "$@"
    fi
done
echo "error: no Python with deephaven-server was found (PYTHON, VIRTUAL_ENV, $root/.venv, python3);" \
    "run 'make run', or: pip install -r requirements-server.txt" >&2
exit 1
