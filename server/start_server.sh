#!/bin/sh
# Start the server: a Python prompt with the tables where there is a terminal, a plain service elsewhere.
set -eu
cd "$(dirname "$0")/.."
if [ -t 0 ] && [ -t 1 ]; then exec .venv/bin/python -i server/app.py "$@"; fi
exec .venv/bin/python server/app.py "$@"
