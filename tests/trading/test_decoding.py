"""Threads that decode into a type for the first time at once."""

from __future__ import annotations

import subprocess
import sys

from tests.processes import ROOT

# In a process of its own: what is tried here has ended the process.
PROGRAM = """
import sys, threading
import msgspec
from trading.decoding import converted, json_decoder, msgpack_decoder

sys.setswitchinterval(1e-6)
for turn in range(40):
    kinds = {"int": int}
    inner = int
    for depth in range(8):
        # The fields are told as texts, as `from __future__ import annotations` makes them.
        body = {"__annotations__": {"a": "inner", "b": "list[inner]", "c": "dict[str, inner]"}}
        module = type(sys)(f"made_{turn}_{depth}")
        module.inner = inner
        sys.modules[module.__name__] = module
        inner = type(msgspec.Struct)(
            f"Made{depth}", (msgspec.Struct,), {**body, "__module__": module.__name__}
        )
    value = 1
    for depth in range(8):
        value = {"a": value, "b": [], "c": {}}
    text, packed = msgspec.json.encode(value), msgspec.msgpack.encode(value)
    kind, ready, found = inner, threading.Barrier(6), []

    def decode(number):
        ready.wait()
        if number % 3 == 0:
            found.append(json_decoder(kind).decode(text))
        elif number % 3 == 1:
            found.append(msgpack_decoder(kind, strict=False).decode(packed))
        else:
            found.append(converted(value, kind))

    threads = [threading.Thread(target=decode, args=(n,)) for n in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == found[:1] * 6, found
print("all equal")
"""


def test_threads_may_decode_into_a_type_that_none_has_met() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all equal\n"
