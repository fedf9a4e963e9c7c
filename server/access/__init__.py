"""Who may reach the server: its key, the checks in front of the engine, TLS, and view-only mode."""

from server.access.keys import (
    KEY_VARIABLE,
    choose_key,
    forget_key,
    keep_key,
    key_file,
    own_directory,
    state_directory,
)

__all__ = [
    "KEY_VARIABLE",
    "choose_key",
    "forget_key",
    "keep_key",
    "key_file",
    "own_directory",
    "state_directory",
]
