"""A plan: a whole run as data, so that it can be printed, kept as a regression test, and made smaller.

The entries of a plan do not depend on each other. Each node, wire and user draws from random streams of its own, and
the begin and the end of a fault are one entry. So a plan without some entries is still a plan, of nearly the same run.
"""

from enum import StrEnum
from typing import Any, Final

import msgspec

from simulations.cast.liar import LieKind
from simulations.cast.tie import Tie
from simulations.world.wire import Weather


class FaultKind(StrEnum):
    """What can happen to machines. A comment says what `value` of such a fault means, if it has a meaning."""

    PARTED = "parted"  # a partition: all wires between the machines and the others are cut
    SILENCED = "silenced"  # the wires from the machines to the others are cut, those back are not
    REFUSED = "refused"  # connections of the machines break, and new ones are refused
    FLAPPING = "flapping"  # connections of the machines break again and again; value: seconds between two breaks
    RESET = "reset"  # connections of the machines break once
    SLOW = "slow"  # wires from and to the machines have little bandwidth; value: bytes a second
    STORM = "storm"  # wires from and to the machines lose segments; value: the share that is lost
    KILLED = "killed"  # the processes are killed, and started again at the end
    POWER_CUT = "power_cut"  # the machines lose their power, and start again at the end
    RESTORED = "restored"  # a power cut, and a backup is restored; value: age of the backup in seconds, at most
    STOPPED = "stopped"  # the nodes stop as by SIGTERM, and start again at the end
    DISK_ERROR = "disk_error"  # every access to the disk fails, so the nodes end; they start again at the end
    DISK_FULL = "disk_full"  # no space is free
    DISK_SLOW = "disk_slow"  # value: mean time of half a piece of work, in seconds
    CLOCK_JUMP = "clock_jump"  # the clocks jump, and jump back at the end; value: seconds
    CUT_WRITING = "cut_writing"  # a power cut when a witness has written its newest receipt, before the receipt leaves
    ERASED = "erased"  # the operators erase records of the ordinary domain; value: the share of the records
    DROPPED = "dropped"  # the operators drop the ordinary domain
    FORGOTTEN = "forgotten"  # as restored, and a witness loses the file of its newest receipt, too


REMOVALS: Final = (FaultKind.ERASED, FaultKind.DROPPED)
"""Faults that operators cause and machines do not: records go, and nodes still have to agree on all others."""


class Fault(msgspec.Struct, frozen=True):
    """A fault of some machines. `at_s`: when it begins, in seconds since the run began. `for_s`: how long it lasts."""

    kind: FaultKind
    at_s: float
    for_s: float
    machines: list[str]
    value: float = 0.0


class Action(StrEnum):
    """What a user does: first the honest actions, then dishonest clients and peers, then impostors over a link."""

    CLAIM = "claim"
    OFFER = "offer"

    REPLAY = "replay"  # sends an acknowledged record again
    BAD_SIGNATURE = "bad_signature"  # sends a record with another record's signature: refused
    BACKDATE = "backdate"  # a client founds a label long ago: refused
    POSTDATE = "postdate"  # a client makes a claim far in the future: refused
    WRONG_PREV = "wrong_prev"  # names a `prev` that is not the head: refused
    USURP = "usurp"  # extends a label of another owner: refused
    PUSH_BACKDATED = "push_backdated"  # a listed peer pushes a founding from long ago: accepted, and it wins
    PUSH_TWO = "push_two"  # a listed peer pushes two records of one second, one to each of two nodes

    LINK_NONSENSE = "link_nonsense"  # sends text that is no frame
    LINK_LIES = "link_lies"  # lies about the held records
    LINK_PROMISES = "link_promises"  # announces records that do not exist
    LINK_FORGERIES = "link_forgeries"  # sends records with a wrong signature
    LINK_LOSERS = "link_losers"  # sends many records that lose

    LINK_RANGES = "link_ranges"  # compares ranges without a key, and lists no domain, again and again
    LINK_NAMES = "link_names"  # lists domains that do not exist, others each time
    LINK_DOMAINS = "link_domains"  # founds domains
    LINK_BOTH = "link_both"  # sends its news to two machines at once, and forwards nothing
    LATE_EACH_WAY = "late_each_way"  # an owner sends a record to one machine, and a slightly older one to another


class Act(msgspec.Struct, frozen=True):
    """What a user does at a machine. `at_s`: when, in seconds since the run began. `other`: the second user or machine,
    for actions that need one.
    """

    action: Action
    at_s: float
    user: str
    machine: str
    label: str
    other: str = ""


class CouncilAction(StrEnum):
    """What a user does in a witnessed domain."""

    CLAIM = "claim"  # founds the label, or extends its head
    OFFER = "offer"
    WAIT = "wait"  # a claim that waits until it is final or lost
    RIVAL = "rival"  # founds the label, whoever owns it
    TWO_DEVICES = "two_devices"  # extends one head twice, at two machines
    FOLLOW_OLD = "follow_old"  # extends an older record of the label, such as an offer that was withdrawn
    USURP = "usurp"  # extends a label of another owner: refused, or decided against
    PUSH_BACKDATED = "push_backdated"  # a listed peer pushes a founding from long ago: accepted, and it wins nothing


class CouncilAct(msgspec.Struct, frozen=True):
    """What a user does at a machine in the witnessed domain. The fields are those of `Act`."""

    action: CouncilAction
    at_s: float
    user: str
    machine: str
    label: str
    other: str = ""


class CouncilPlan(msgspec.Struct, frozen=True):
    """A witnessed domain. `seats`: the machines of its honest witnesses. A seat without a machine is silent.

    `liars`: of each of the other witnesses, how it lies. `faulty`: how many liars the policy allows. `has_thieves`: at
    the end, somebody has the keys of as many witnesses as possible without a quorum.
    """

    seats: list[str]
    faulty: int
    liars: list[LieKind]
    acts: list[CouncilAct]
    has_thieves: bool = False

    @property
    def liar_names(self) -> list[str]:
        return [f"liar{number}" for number in range(len(self.liars))]


class NodePlan(msgspec.Struct, frozen=True):
    """One machine: its clock as in `Clock`, its disk as in `VirtualDisk`, and the settings of its node."""

    name: str
    offset_s: float = 0.0
    drift: float = 0.0
    disk_latency_s: float = 0.0005
    settings: dict[str, Any] = {}


class Plan(msgspec.Struct, frozen=True):
    """A whole run. Faults and acts are over by second `active_s`. Within `settle_s` seconds after that all
    nodes agree. `council`: None: the run has no witnessed domain.
    """

    seed: str
    weather: Weather
    nodes: list[NodePlan]
    ties: list[Tie]
    faults: list[Fault]
    acts: list[Act]
    active_s: float
    settle_s: float
    council: CouncilPlan | None = None

    def as_json(self) -> str:
        return msgspec.json.encode(self).decode()

    def without(self, name: str) -> "Plan":
        """The plan without this machine and everything that needs it."""
        faults = [msgspec.structs.replace(it, machines=[m for m in it.machines if m != name]) for it in self.faults]
        return msgspec.structs.replace(
            self,
            nodes=[node for node in self.nodes if node.name != name],
            ties=[tie for tie in self.ties if name not in (tie.dialler, tie.acceptor)],
            faults=[fault for fault in faults if fault.machines],
            acts=[act for act in self.acts if name not in (act.machine, act.other)],
            council=None if self.council is None else _acting_without(self.council, name),
        )


def _acting_without(council: CouncilPlan, name: str) -> CouncilPlan:
    acts = [act for act in council.acts if name not in (act.machine, act.other)]
    return msgspec.structs.replace(council, acts=acts)
