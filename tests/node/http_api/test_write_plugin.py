"""The operator's program behind a real node: what clients are answered, and what operators see."""

import asyncio
from pathlib import Path

import pytest

from node.disk import CannotStartError
from node.node import Node
from node.settings.settings import Settings
from tests.history import claim, signed
from tests.node.http_api.listening import running
from tests.node.http_api.talking import NOW, as_admin
from tests.node.write_plugin.programs import REJECTING_SPAM, SILENT, program
from tests.waiting import until


async def test_a_client_hears_the_programs_words_with_403_and_in_a_batch_beside_the_record(tmp_path: Path) -> None:
    spam, garden = claim("spam", at=NOW), claim("garden", at=NOW)

    async with running(tmp_path, write_plugin=program(tmp_path, REJECTING_SPAM)) as (_, client):
        single = await client.put(spam)
        together = await client.put_batch([spam, garden])

    refusal = {
        "status": "refused",
        "id": spam.id,
        "code": "not_welcome",
        "detail": "no spam, please",
        "rule": "write_plugin",
    }
    assert (single.status, single.json()) == (403, {signed(spam).signature: refusal})
    assert together.status == 200
    assert together.json()[signed(spam).signature] == refusal
    assert together.json()[signed(garden).signature]["status"] == "accepted"


async def test_the_operator_with_the_admin_token_writes_what_the_program_refuses(tmp_path: Path) -> None:
    async with running(tmp_path, write_plugin=program(tmp_path, REJECTING_SPAM)) as (node, client):
        answer = await client.put(claim("spam", at=NOW), headers=as_admin(node))

    assert answer.status == 201


async def test_while_the_program_is_down_clients_get_503_and_health_says_why_and_reads_go_on(tmp_path: Path) -> None:
    body = "for it in lines(): sys.exit(3)\n"

    async with running(tmp_path, write_plugin=program(tmp_path, body)) as (node, client):
        answers = [await client.put(claim("garden", at=NOW)) for _ in range(2)]
        await until(lambda: bool(node.warnings()))
        health = await client.get("/health")
        domains = await client.get("/domains")
        metrics = await client.get("/metrics")

    assert {answer.status for answer in answers} == {503}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
    assert health.status == 200
    assert "the write plug-in failed" in health.json()["warnings"][0]
    assert "it ended by itself (exit code 3)" in health.json()["warnings"][0]
    assert domains.status == 200
    assert 'dnarc_plugin_records_total{result="failed"} 2.0' in metrics.body.decode()


async def test_a_node_that_ends_waits_for_no_answer_of_the_program(tmp_path: Path) -> None:
    async with running(tmp_path, write_plugin=program(tmp_path, SILENT), write_plugin_timeout=600.0) as (node, client):
        waiting = asyncio.ensure_future(client.put(claim("garden", at=NOW)))
        await until(lambda: node.plugin is not None and node.plugin.waiting == 1)
        await node.__aexit__()
        answer = await waiting

    assert (answer.status, answer.json()[signed(claim("garden", at=NOW)).signature]["code"]) == (503, "overloaded")


async def test_a_node_whose_program_is_not_there_does_not_start(tmp_path: Path) -> None:
    settings = Settings(port=0, data=tmp_path / "data", write_plugin=[str(tmp_path / "absent"), "x"])

    with pytest.raises(CannotStartError, match="absent, cannot be started: No such file") as refused:
        async with Node(settings):
            pass

    assert refused.value.remedy == "correct the setting write_plugin, or take it out"
