"""Watching values with `async for`: nothing is lost, or it is said how much."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from reactive import Field, ReactiveGraph, SlowReaderError, UnknownNameError


@dataclass
class Quote:
    price: float = 0.0
    symbol: str = "A"


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(main, timeout=30))


async def take(values: AsyncIterator[Any], count: int) -> list[Any]:
    return [await anext(values) for _ in range(count)]


@pytest.fixture
def graph() -> ReactiveGraph:
    return ReactiveGraph()


@pytest.fixture
def node(graph: ReactiveGraph) -> str:
    node = graph.track(Quote())
    graph.computed(node, "double", Field("price") * 2)
    return node


def test_every_value_is_seen_however_slow_the_reader(graph: ReactiveGraph, node: str) -> None:
    async def main() -> list[Any]:
        values = graph.watch(node, "double")
        for price in range(1, 6):
            graph.update(node, "price", float(price))
        seen = await take(values, 4)
        graph.update(node, "price", 6.0)
        return seen + await take(values, 3)

    assert run(main()) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]


def test_a_reader_that_waits_is_woken_from_another_thread(graph: ReactiveGraph, node: str) -> None:
    count = 2_000

    def tick() -> None:
        for price in range(1, count):
            graph.update(node, "price", float(price))

    async def main() -> list[Any]:
        thread = threading.Thread(target=tick)
        values = graph.watch(node, "price")
        thread.start()
        seen = await take(values, count)
        thread.join()
        return seen

    assert run(main()) == [float(price) for price in range(count)]


def test_one_value_for_each_update_and_none_for_an_equal_one(
    graph: ReactiveGraph, node: str
) -> None:
    async def main() -> list[Any]:
        values = graph.watch(node, "price")
        with graph.batch():
            graph.update(node, "price", 1.0)
            graph.update(node, "price", 2.0)
        graph.update(node, "price", 2.0)
        graph.update(node, "price", 3.0)
        return await take(values, 3)

    assert run(main()) == [0.0, 2.0, 3.0]


def test_who_falls_too_far_behind_is_told_how_much_was_lost(
    graph: ReactiveGraph, node: str
) -> None:
    async def main() -> None:
        values = graph.watch(node, "price", limit=3)
        for price in range(1, 10):
            graph.update(node, "price", float(price))
        assert await take(values, 3) == [0.0, 1.0, 2.0]
        with pytest.raises(SlowReaderError, match=r"Quote-1\.price was 3 .* lost 6") as caught:
            await anext(values)
        assert caught.value.lost == 6
        graph.update(node, "price", 10.0)
        assert await take(values, 2) == [9.0, 10.0], "from the newest on it goes on"

    run(main())


def test_conflated_only_the_newest_waits(graph: ReactiveGraph, node: str) -> None:
    async def main() -> list[Any]:
        values = graph.watch(node, "price", conflate=True)
        for price in range(1, 10):
            graph.update(node, "price", float(price))
        seen = await take(values, 1)
        graph.update(node, "price", 10.0)
        return seen + await take(values, 1)

    assert run(main()) == [9.0, 10.0]


def test_it_ends_with_what_is_watched(graph: ReactiveGraph, node: str) -> None:
    graph.group_computed("total", [node], "price", sum)

    async def main() -> list[Any]:
        of_node, of_group = graph.watch(node, "price"), graph.watch_group("total")
        waiting = asyncio.create_task(collect(of_group))
        await asyncio.sleep(0)
        graph.update(node, "price", 1.0)
        graph.remove_group("total")
        graph.untrack(node)
        return [await collect(of_node), await waiting]

    async def collect(values: AsyncIterator[Any]) -> list[Any]:
        return [value async for value in values]

    assert run(main()) == [[0.0, 1.0], [0.0, 1.0]]


def test_closing_and_letting_go_take_it_off(graph: ReactiveGraph, node: str) -> None:
    async def main() -> None:
        values = graph.watch(node, "price")
        graph.update(node, "price", 1.0)
        values.close()
        graph.update(node, "price", 2.0)
        assert [value async for value in values] == [0.0, 1.0]
        async for value in graph.watch(node, "price"):
            assert value == 2.0
            break
        gc.collect()
        graph.update(node, "price", 3.0)
        links = graph._engine.nodes[node].observers
        assert not any(links), "nobody listens any more"

    run(main())


def test_values_that_fail_are_passed_over(graph: ReactiveGraph, node: str) -> None:
    async def main() -> list[Any]:
        values = graph.watch(node, "double")
        graph.update(node, "price", "closed")
        graph.update(node, "price", 4.0)
        return await take(values, 2)

    assert run(main()) == [0.0, 8.0]
    assert graph.callback_errors == 1


def test_groups_by_key(graph: ReactiveGraph, node: str) -> None:
    other = graph.track(Quote(5.0, "B"))
    graph.group_computed("by symbol", [node, other], "price", sum, key="symbol")

    async def main() -> list[Any]:
        of_all = graph.watch_group("by symbol")
        of_b = graph.watch_group("by symbol", key="B")
        graph.update(other, "price", 6.0)
        graph.update(node, "price", 1.0)
        return [await take(of_all, 3), await take(of_b, 2)]

    assert run(main()) == [[{"A": 0.0, "B": 5.0}, {"B": 6.0}, {"A": 1.0}], [5.0, 6.0]]


def test_one_watch_is_for_one_task(graph: ReactiveGraph, node: str) -> None:
    async def main() -> None:
        values = graph.watch(node, "price")
        await anext(values)
        waiting = asyncio.create_task(anext(values))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="two tasks read one watch"):
            await anext(values)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        graph.update(node, "price", 1.0)
        assert await anext(values) == 1.0, "a cancelled wait loses nothing"

    run(main())


def test_what_cannot_be_watched(graph: ReactiveGraph, node: str) -> None:
    with pytest.raises(UnknownNameError):
        graph.watch(node, "nothing")
    with pytest.raises(UnknownNameError):
        graph.watch_group("nothing")
    with pytest.raises(ValueError, match="at least 1; given 0"):
        graph.watch(node, "price", limit=0)


def test_a_reader_whose_loop_has_gone_disturbs_nobody(graph: ReactiveGraph, node: str) -> None:
    values = graph.watch(node, "price")

    async def wait_in_vain() -> None:
        await anext(values)
        await asyncio.wait_for(anext(values), 0.001)

    with pytest.raises(asyncio.TimeoutError):
        run(wait_in_vain())
    graph.update(node, "price", 1.0)
    assert run(take(values, 1)) == [1.0]
    assert graph.callback_errors == 0


class ClosingLoop:
    """Is closed after it was asked whether it is."""

    def is_closed(self) -> bool:
        return False

    def call_soon_threadsafe(self, *_: Any) -> None:
        raise RuntimeError("Event loop is closed")


def test_a_loop_that_closes_just_now_leaves_an_untrack_whole(
    graph: ReactiveGraph, node: str
) -> None:
    values = graph.watch(node, "price")
    graph.group_computed("total", [node], "price", sum)
    values._waiter = SimpleNamespace(get_loop=ClosingLoop)  # type: ignore[assignment]
    graph.untrack(node)
    assert graph.group_members("total") == []
    with pytest.raises(UnknownNameError):
        graph.get(node, "price")


def test_a_watch_of_a_node_that_another_thread_untracks_ends(
    graph: ReactiveGraph, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attach = graph.effect
    thread = threading.Thread(target=graph.untrack, args=(node,))

    def untracked_at_once(*arguments: Any) -> Any:
        effect = attach(*arguments)
        thread.start()
        # It waits for the watch to be made, or has come first.
        thread.join(0.2)
        return effect

    monkeypatch.setattr(graph, "effect", untracked_at_once)

    async def main() -> list[Any]:
        return [value async for value in graph.watch(node, "price")]

    assert run(main()) == [0.0]
    thread.join(30)


def test_a_watch_ends_when_all_effects_of_its_node_are_removed(
    graph: ReactiveGraph, node: str
) -> None:
    async def main() -> list[Any]:
        values = graph.watch(node, "price")
        graph.remove_effect(node)
        return [value async for value in values]

    assert run(main()) == [0.0]


@pytest.mark.parametrize("conflate", [True, False])
def test_no_key_is_lost_when_changes_by_key_are_joined(
    graph: ReactiveGraph, conflate: bool
) -> None:
    a, b = graph.track(Quote(1.0, "A")), graph.track(Quote(2.0, "B"))
    graph.group_computed("by symbol", Quote, "price", "sum", key="symbol")

    async def main() -> dict[str, float]:
        changes = graph.watch_group("by symbol", limit=1, conflate=conflate)
        for price in (5.0, 6.0):
            graph.update(a, "price", price)
        graph.update(b, "price", 7.0)
        seen = await anext(changes)
        if not conflate:
            with pytest.raises(SlowReaderError):
                await anext(changes)
            seen |= await anext(changes)
        return seen

    assert run(main()) == {"A": 6.0, "B": 7.0}
