#!/bin/sh
# Start the server as a service: with or without a terminal, until Ctrl-C or SIGTERM.
set -eu
cd "$(dirname "$0")/.."
exec .venv/bin/python server/app.py "$@"
