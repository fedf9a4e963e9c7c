"""A subscriber in a process of its own, that notes on a file what it has handled.

python -m tests.store.subscriber '{"host": …}' USER PASSWORD SUBSCRIBER_ID FILE SLOW_MS
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time

from store.subscriptions import ChangeEvent, EventBus, SubscriptionListener


def main() -> None:
    info, user, password, subscriber_id, path, slow_ms = sys.argv[1:]
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def handle(event: ChangeEvent) -> None:
        if float(slow_ms):
            time.sleep(random.random() * float(slow_ms) / 1_000)
        # The last thing that it does: one write of a line is whole or is not there.
        os.write(out, f"{event.entity_id} {event.version}\n".encode())

    bus = EventBus()
    bus.on_all(handle)
    listener = SubscriptionListener(
        bus, **json.loads(info), user=user, password=password, subscriber_id=subscriber_id
    )
    os.write(out, b"run\n")
    listener.start()
    sys.stdout.write("following\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
