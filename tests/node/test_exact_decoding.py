"""A thread decodes records the exact way, one of each source in turn."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from node.exact_decoding import ThreadedDecoder
from protocol.errors import Code, ProtocolError
from protocol.records.record import decode
from tests.history import claim

SPELLED = b" " + claim("garden", n=0.5).canonical


@pytest.fixture
async def decoder() -> AsyncIterator[ThreadedDecoder]:
    it = ThreadedDecoder()
    yield it
    it.close()


async def test_the_record_is_the_one_that_decode_gives(decoder: ThreadedDecoder) -> None:
    assert await decoder.decode(SPELLED, "source") == decode(SPELLED)


async def test_bytes_that_are_no_record_raise_the_error_of_decode_without_the_values_of_the_thread(
    decoder: ThreadedDecoder,
) -> None:
    with pytest.raises(ProtocolError) as refused:
        await decoder.decode(b'{"a": 1.5}', "source")

    assert refused.value.code is Code.MALFORMED
    assert refused.traceback[-1].name == "decode"  # of the decoder: no frame of the thread is kept


async def test_a_flood_of_one_source_delays_another_source_by_one_record(decoder: ThreadedDecoder) -> None:
    done: list[str] = []

    async def decode_for(source: str) -> None:
        await decoder.decode(SPELLED, source)
        done.append(source)

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(decode_for("flood"))
        group.create_task(decode_for("other"))

    assert done.index("other") <= 2


async def test_a_client_that_disconnects_is_left_out_and_the_others_are_answered(decoder: ThreadedDecoder) -> None:
    tasks = [asyncio.create_task(decoder.decode(SPELLED, "source")) for _ in range(3)]
    await asyncio.sleep(0)

    tasks[1].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(answer).__name__ for answer in answers] == ["Record", "CancelledError", "Record"]


async def test_when_the_decoder_closes_those_who_wait_are_cancelled() -> None:
    decoder = ThreadedDecoder()
    tasks = [asyncio.create_task(decoder.decode(SPELLED, "source")) for _ in range(3)]
    await asyncio.sleep(0)

    decoder.close()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert {type(answer).__name__ for answer in answers[1:]} == {"CancelledError"}
