"""The figures of witnessed domains, and the warnings about their witnesses."""

import time
from pathlib import Path

import pytest

from node.durable_files import write_durably
from node.intake.arrivals import BY_REQUEST, Origin
from node.monitoring.witness_warnings import warnings_of, warnings_of_peers
from node.node import Node
from node.settings.settings import Settings
from node.store.contract import Peer
from node.witness.own import Silence
from node.witness.watched import WATCHED_MAX, WatchedDomains
from protocol.records.admission import Trust
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from protocol.witness.policy import make_policy
from protocol.witness.receipt import receipt_label
from tests.history import CAROL
from tests.node.http_api.talking import Client
from tests.node.http_sync.sync_network import answering, false_peer, node_answer, running
from tests.node.links import network
from tests.node.links.raw_peer import linked
from tests.node.monitoring.test_exposition import scrape, value
from tests.node.witness.registrar import ALICE, BOB, begin, registrar, take_key
from tests.waiting import until

KEYS = [SigningKey(bytes([number]) * 32) for number in (11, 12, 13)]
POLICY = make_policy([key.public for key in KEYS], 0)
DOMAIN = f"com.example.{POLICY.name}"


@pytest.fixture(autouse=True)
def _key(tmp_path: Path) -> None:
    take_key(tmp_path)


def signed(by: SigningKey, label: str, **fields: object) -> SignedRecord:
    record = {"domain": DOMAIN, "label": label, "signedby": by.public, "timestamp": int(time.time())} | fields
    return sign(make(record), by)


def receipt(by: SigningKey, at_ms: int, **said: object) -> SignedRecord:
    return signed(by, receipt_label(by.public), at=at_ms, timestamp=at_ms // 1000, **said)


async def give(node: Node, *records: SignedRecord) -> None:
    await node.ingest.take_records(list(records), Origin(Trust.PEER), BY_REQUEST)


def observer(folder: Path, domains: list[str] | None) -> Settings:
    return Settings(port=0, data=folder, sync_interval=None, domains=domains)


POLICY_RECORD = signed(ALICE, "@policy", faulty=0, witnesses=list(POLICY.witnesses))
ONE, OTHER = signed(ALICE, "garden"), signed(BOB, "garden")


async def test_a_witness_shows_what_waits_and_how_long_claims_took(tmp_path: Path) -> None:
    begin(tmp_path)
    async with registrar(tmp_path) as it:
        await it.put(it.claim(ALICE), wait_s=10)
        metrics, warnings = await scrape(it.node), it.node.warnings()
        witness = {"domain": it.domain, "witness": it.node.key.public}

    domain = {"domain": it.domain}
    assert warnings == []
    assert value(metrics, "dnarc_witnessed_domains") == 1
    assert [
        value(metrics, name, **domain)
        for name in ("dnarc_undecided_records", "dnarc_slot_open_seconds", "dnarc_doubly_decided_slots")
    ] == [0, 0, 0]
    assert value(metrics, "dnarc_ordered_seconds_count", **domain) == 1
    assert value(metrics, "dnarc_final_seconds_count", **domain) == 1
    assert value(metrics, "dnarc_final_seconds_sum", **domain) > 0
    assert value(metrics, "dnarc_witness_lag_seconds", **witness) < 60
    assert [value(metrics, f"dnarc_witness_{name}", **witness) for name in ("forks", "unheard")] == [0, 0]
    assert [value(metrics, f"dnarc_witness_{name}", **domain) for name in ("open_slots", "round")] == [0, 0]
    assert {value(metrics, "dnarc_witness_silent", **domain, reason=each.reason) for each in Silence} == {0}


async def test_a_witness_that_has_not_begun_says_so_and_what_to_do(tmp_path: Path) -> None:
    async with registrar(tmp_path) as it:
        await until(lambda: it.own.silence is Silence.NOT_BEGUN)
        metrics, warnings = await scrape(it.node), it.node.warnings()

    silent = {each: value(metrics, "dnarc_witness_silent", domain=it.domain, reason=each.reason) for each in Silence}
    assert silent == {each: each is Silence.NOT_BEGUN for each in Silence}
    assert warnings == [
        f"this node is silent as a witness of {it.domain}: {Silence.NOT_BEGUN}; {Silence.NOT_BEGUN.remedy}"
    ]


@pytest.mark.parametrize("silence", Silence)
def test_every_reason_to_be_silent_has_a_remedy(silence: Silence) -> None:
    assert (silence.remedy != "", silence.reason.replace("_", "").isalpha()) == (True, True)


async def test_forks_and_two_decided_records_are_counted_and_warned_of(tmp_path: Path) -> None:
    """Two of three witnesses commit both rivals: more than the policy allows to lie."""
    commits = [
        receipt(key, 1_000_000 + number, commit={"0": [each.record.id]})
        for key in KEYS[:2]
        for number, each in enumerate((ONE, OTHER))
    ]
    async with Node(observer(tmp_path, [DOMAIN])) as node:
        await give(node, POLICY_RECORD, ONE, OTHER, *commits)
        metrics, warnings = await scrape(node), node.warnings()

    forks = {key.public: value(metrics, "dnarc_witness_forks", domain=DOMAIN, witness=key.public) for key in KEYS}
    never = value(metrics, "dnarc_witness_lag_seconds", domain=DOMAIN, witness=KEYS[2].public)
    assert value(metrics, "dnarc_doubly_decided_slots", domain=DOMAIN) == 1
    assert list(forks.values()) == [1, 1, 0]
    assert never == float("inf")
    assert [text.split(":")[0] for text in warnings] == [
        f"two records are decided in 1 places of {DOMAIN}, so more than 0 of its witnesses lied",
        *(f"the witness {key} of {DOMAIN} contradicts itself" for key in POLICY.witnesses if forks[key] == 1),
    ]


async def test_a_slot_that_is_open_for_long_names_the_witnesses_that_it_waits_for(tmp_path: Path) -> None:
    first = receipt(KEYS[0], 1_000_000, first={ONE.record.id: 1_000_000})
    async with Node(observer(tmp_path, [DOMAIN])) as node:
        await give(node, POLICY_RECORD, ONE, first)
        young = node.warnings()
        later = WatchedDomains(node.settings, node.witnessed, node.witnessing, _Stopwatch())
        await later.load(node.store)
        old = list(warnings_of(later, 1_000_000_000 + 1_000))

    assert young == []
    since = "2001-09-09T01:46:40Z"
    assert old == [
        *(
            f"the witness {key} of {DOMAIN} says nothing about a record that waits since {since}: start it, or mend "
            "the links to it"
            for key in POLICY.witnesses
            if key != KEYS[0].public
        ),
        (
            f"the label 'garden' of {DOMAIN} waits for a decision since {since}: 2 of 3 witnesses have to be up and "
            "linked"
        ),
    ]


class _Stopwatch:
    """A clock that goes on by 1,000 s each time."""

    now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1_000
        return self.now_s


@pytest.mark.parametrize("domains", [None, ["other.example"]])
async def test_domains_of_strangers_raise_no_alarm(tmp_path: Path, domains: list[str] | None) -> None:
    """Whoever makes a domain of their own witnesses can let them lie, and would page every operator."""
    forks = [receipt(KEYS[0], 1_000_000 + number) for number in range(2)]
    async with Node(observer(tmp_path, domains)) as node:
        await give(node, POLICY_RECORD, *forks)
        metrics, warnings = await scrape(node), node.warnings()

    assert (warnings, metrics["dnarc_witness_forks"].samples) == ([], [])


async def test_figures_are_shown_of_a_limited_number_of_domains_and_of_the_own_ones_first(tmp_path: Path) -> None:
    named = [f"a{number}.{POLICY.name}" for number in range(WATCHED_MAX + 1)]
    settings = Settings(port=0, data=tmp_path, sync_interval=None, domains=[*named, DOMAIN], witness=[DOMAIN])
    async with Node(settings) as node:
        shown = [seen.domain.name for seen in node.watched]

    assert (len(shown), shown[0]) == (WATCHED_MAX, DOMAIN)


async def test_a_damaged_file_of_the_newest_receipt_is_a_warning(tmp_path: Path) -> None:
    begin(tmp_path)
    (path,) = (tmp_path / "witness").iterdir()
    write_durably(path, b"{")
    async with registrar(tmp_path) as it:
        await until(lambda: it.own.silence is Silence.UNREADABLE)
        (warning,) = it.node.warnings()

    assert str(Silence.UNREADABLE) in warning


def unaware_words(peer: str) -> str:
    return (
        f"the peer {peer} does not name the feature `witness`, so its version is older: 1 witnessed domains are not "
        "synced with it; upgrade it"
    )


async def test_a_listed_peer_of_an_older_version_is_named_while_it_is_linked(tmp_path: Path) -> None:
    async with network.running(tmp_path, now_s=time.time) as node:
        await node.peers.put(Peer(key=CAROL.public, accept=True))
        await give(node, POLICY_RECORD)
        async with linked(node):
            await network.until(lambda: node.links.features(Peer(key=CAROL.public)) is not None, node)
            warnings = node.warnings()

    assert warnings == [unaware_words(CAROL.public)]


async def test_a_listed_peer_of_an_older_version_is_named_after_a_sync(tmp_path: Path) -> None:
    handler = answering(node_answer(CAROL.public))
    async with running(tmp_path, now=int(time.time())) as node, false_peer({"/node": handler}) as url:
        await give(node, POLICY_RECORD)
        await node.peers.put(Peer(url=url, pull=True))
        before = node.warnings()
        await node.sync.run("pull", url)
        await network.until(lambda: bool(node.links.peers), node)

        assert (before, node.warnings()) == ([], [unaware_words(url)])


@pytest.mark.parametrize(
    ("features", "domains"),
    [({"peer": None}, 1), ({"peer": ("witness", "other")}, 1), ({"peer": ()}, 0)],
    ids=["a peer that never answered", "a peer that knows witnesses", "no witnessed domain is held"],
)
def test_no_other_peer_is_named(features: dict[str, tuple[str, ...] | None], domains: int) -> None:
    assert list(warnings_of_peers(features, domains)) == []


async def test_strangers_only_learn_how_many_peers_are_older(tmp_path: Path) -> None:
    async with network.running(tmp_path, now_s=time.time) as node:
        await node.peers.put(Peer(key=CAROL.public, accept=True))
        await give(node, POLICY_RECORD)
        async with linked(node), Client(node.url) as stranger:
            await network.until(lambda: bool(node.warnings()), node)
            answer = await stranger.get("/health", {"Host": "node.example"})

    warnings = answer.json()["warnings"]
    assert warnings[-1].startswith("1 about peers")
    assert CAROL.public not in str(warnings)
