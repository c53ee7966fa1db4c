"""Laws that hold in whole networks: every node gets every record, and nearly always once."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocol.gossip.gossip_network import Network
from tests.protocol.gossip.test_plumtree import record


def drawn_network(random: Random, delay_s_max: float) -> Network:
    nodes = random.randint(2, 24)
    network = Network(nodes, random.getrandbits(32))
    for node in range(1, nodes):
        network.connect(node, random.randrange(node), random.uniform(0.0005, delay_s_max))
    for _ in range(random.randrange(2 * nodes)):
        one, other = random.sample(range(nodes), 2)
        network.connect(one, other, random.uniform(0.0005, delay_s_max))
    return network


def disturb(network: Network, random: Random) -> None:
    """By chance, reset a link, kill a node or connect two living nodes; or do nothing."""
    living = [node for node, is_alive in enumerate(network.alive) if is_alive]
    happening = random.randrange(5)
    if happening == 0 and network.ends:
        network.reset(random.choice(list(network.ends)))
    elif happening == 1 and len(living) > 2:
        network.die(random.choice(living))
    elif happening == 2 and len(living) > 1:
        one, other = random.sample(living, 2)
        network.connect(one, other, random.uniform(0.0005, 0.1))


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=100)
def test_linked_nodes_hold_the_same_records_in_the_end_through_resets_deaths_and_new_links(seed: int) -> None:
    """Links that a node reports as neglected are left out, because their nodes compare their sets."""
    random = Random(seed)
    network = drawn_network(random, delay_s_max=0.1)

    for number in range(12):
        writer = random.choice([node for node, is_alive in enumerate(network.alive) if is_alive])
        network.write(writer, record(number))
        network.settle_until(network.now + random.choice([0.0, 0.05, 2.0]))
        disturb(network, random)
    network.settle()

    neglected = {link for gossip in network.nodes for link in gossip.take_neglected()}
    for link, (one, other, _) in network.ends.items():
        assert link in neglected or network.held[one].keys() == network.held[other].keys()
    assert all(
        gossip.missing_count == 0 for gossip, is_alive in zip(network.nodes, network.alive, strict=True) if is_alive
    )


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=60)
def test_once_the_tree_has_formed_each_node_receives_each_record_once(seed: int) -> None:
    random = Random(seed)
    network = drawn_network(random, delay_s_max=0.002)
    nodes = len(network.nodes)

    for number in range(6):
        network.write(random.randrange(nodes), record(number))
        network.settle()

    assert [network.copies[record(number)] for number in range(1, 6)] == [nodes - 1] * 5


def test_the_same_seed_gives_the_same_outputs() -> None:
    traces = []
    for disturbance in (0, 1_000):
        ballast = [object() for _ in range(disturbance)]
        random = Random(7)
        network = drawn_network(random, delay_s_max=0.1)
        for number in range(20):
            network.write(random.randrange(len(network.nodes)), record(number))
            network.settle_until(network.now + 0.02)
        network.settle()
        traces.append(network.trace)
        del ballast

    assert traces[0] == traces[1]
