"""A program that writes at random: `python -m tests.bridge.random_writer SEED WRITES JSON-LOGIN`.

It prints the ids of what it made, one a line.
"""

from __future__ import annotations

import json
import random
import sys
from datetime import datetime, timedelta, timezone

from store.client import StoreClient
from store.models import Trade

SYMBOLS = ("AAPL", "MSFT", "IBM")


class RandomWriter:
    """Creates, updates, corrects, deletes, batches; everything that an owner can do."""

    def __init__(self, client: StoreClient, seed: int) -> None:
        self._client = client
        self._random = random.Random(seed)
        self._book: list[Trade] = []
        self.ids: list[str] = []

    def write(self, count: int) -> None:
        """Write this many events, about."""
        done = 0
        while done < count:
            done += self.step()

    def step(self) -> int:
        """Do one thing; how many events it wrote."""
        choose = self._random
        if not self._book or choose.random() < 0.25:
            return self._create(choose.choice((1, 1, 5, 20)))
        kind = choose.choice(("update", "update", "batch", "correct", "future", "hole", "delete"))
        trade = choose.choice(self._book)
        self._change(trade)
        now = datetime.now(timezone.utc)
        span = timedelta(minutes=choose.randint(1, 500))
        if kind == "update":
            self._client.update(trade)
        elif kind == "batch":
            some = choose.sample(self._book, min(len(self._book), choose.randint(1, 10)))
            for each in some:
                self._change(each)
            self._client.update_many(some)
            return len(some)
        elif kind == "correct":
            until = choose.choice((None, now - span / 2, now + span))
            self._client.update(trade, valid_from=now - span, valid_to=until)
        elif kind == "future":
            until = choose.choice((None, now + 2 * span))
            self._client.update(trade, valid_from=now + span, valid_to=until)
        elif kind == "hole":
            self._client.delete(trade, valid_from=now - span, valid_to=now + span)
        else:
            self._client.delete(trade)
        return 1

    def _create(self, count: int) -> int:
        made = [
            Trade(
                symbol=self._random.choice(SYMBOLS),
                quantity=self._random.randint(1, 10**12),
                price=round(self._random.uniform(1, 500), 4),
                side=self._random.choice(("BUY", "SELL")),
                timestamp=datetime.now(timezone.utc),
            )
            for _ in range(count)
        ]
        self.ids += self._client.write_many(made)
        self._book += made
        return count

    def _change(self, trade: Trade) -> None:
        trade.price = round(self._random.uniform(1, 500), 4)
        trade.symbol = self._random.choice(SYMBOLS)


if __name__ == "__main__":
    _, seed, writes, login = sys.argv
    with StoreClient(**json.loads(login)) as client:
        writer = RandomWriter(client, int(seed))
        writer.write(int(writes))
        sys.stdout.write("\n".join(writer.ids))
