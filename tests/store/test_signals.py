"""Words between coroutines: in time, to everybody who waits, and leaving nothing behind."""

import asyncio

from store.database import Signals


async def test_everybody_who_waits_for_the_topic_is_woken() -> None:
    signals = Signals()
    waiting = [asyncio.ensure_future(signals.wait("a", 5)) for _ in range(3)]
    other = asyncio.ensure_future(signals.wait("b", 0.05))
    await asyncio.sleep(0)
    signals.send("a")
    assert await asyncio.gather(*waiting) == [True] * 3
    assert not await other


async def test_nobody_waiting_is_no_error() -> None:
    Signals().send("a")


async def test_a_word_between_looking_and_waiting_is_not_lost() -> None:
    signals = Signals()
    with signals.expect("a") as word:
        signals.send("a")
        await asyncio.wait_for(word, 1)


async def test_a_word_before_is_not_remembered() -> None:
    signals = Signals()
    signals.send("a")
    assert not await signals.wait("a", 0.01)


async def test_a_word_is_for_those_who_wait_now() -> None:
    signals = Signals()
    with signals.expect("a") as first:
        signals.send("a")
        with signals.expect("a") as second:
            assert first.done()
            assert not second.done()
            signals.send("a")
            assert second.done()


async def test_nothing_is_left_behind() -> None:
    signals = Signals()
    assert not await signals.wait("a", 0.001)
    task = asyncio.ensure_future(signals.wait("b", 5))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with signals.expect("c"):
        signals.send("c")
    with signals.expect("d") as first:
        with signals.expect("d"):
            pass
        signals.send("d")
        assert first.done()
    assert signals._waiting == {}
