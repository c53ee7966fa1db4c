"""A plan: all of a run as data, so that it can be printed, kept in a list of regressions, and made smaller.

Nothing in a plan depends on its neighbours: each node, wire and user draws from streams of its own, and the begin and
the end of a fault are one entry. So a plan from which something is taken away is still a plan, of nearly the same run.
"""

from enum import StrEnum
from typing import Any

import msgspec

from simulations.cast.tie import Tie
from simulations.world.wire import Weather


class FaultKind(StrEnum):
    """What fate does. `value` of a fault means what stands here, and nothing where nothing does."""

    PARTED = "parted"  # the machines from all others, both ways
    SILENCED = "silenced"  # the machines are heard by nobody, and hear
    REFUSED = "refused"  # connections to the machines are broken, and new ones refused
    FLAPPING = "flapping"  # the same again and again; value: seconds between
    RESET = "reset"  # connections of the machines break, once
    SLOW = "slow"  # wires from and to the machines carry little; value: bytes a second
    STORM = "storm"  # wires from and to the machines lose segments; value: the share
    KILLED = "killed"  # processes, started again at the end
    POWER_CUT = "power_cut"  # machines, started again at the end
    RESTORED = "restored"  # power cut, and a backup put back; value: seconds of its age at most
    STOPPED = "stopped"  # as by SIGTERM, started again at the end
    DISK_ERROR = "disk_error"  # the node ends, and is started again at the end
    DISK_FULL = "disk_full"
    DISK_SLOW = "disk_slow"  # value: mean seconds of half a piece of work
    CLOCK_JUMP = "clock_jump"  # value: seconds, back at the end


class Fault(msgspec.Struct, frozen=True):
    """Something that befalls machines at a time, and is over a while later. Seconds since the begin of the run."""

    kind: FaultKind
    at_s: float
    for_s: float
    machines: list[str]
    value: float = 0.0


class Action(StrEnum):
    """What a user does. The honest ones first."""

    CLAIM = "claim"
    OFFER = "offer"

    REPLAY = "replay"  # sends a record again that was acknowledged before
    BAD_SIGNATURE = "bad_signature"
    BACKDATE = "backdate"  # a founding long ago, as a client: refused
    POSTDATE = "postdate"  # a claim far ahead, as a client: refused
    WRONG_PREV = "wrong_prev"  # names a record that is not the head: refused
    USURP = "usurp"  # the next claim on a label that is somebody else's: refused
    PUSH_BACKDATED = "push_backdated"  # the same founding, as a listed peer: taken, and it wins
    PUSH_TWO = "push_two"  # as a listed peer, two records of one moment, one to each of two nodes

    LINK_NONSENSE = "link_nonsense"  # over a link of their own: frames that are none
    LINK_LIES = "link_lies"  # about what they hold
    LINK_PROMISES = "link_promises"  # of records that do not exist
    LINK_FORGERIES = "link_forgeries"  # records under another signature
    LINK_LOSERS = "link_losers"  # dozens of records that lose


class Act(msgspec.Struct, frozen=True):
    """Something that a user does at a machine. `other` is a second user or machine where the action needs one."""

    action: Action
    at_s: float
    user: str
    machine: str
    label: str
    other: str = ""


class NodePlan(msgspec.Struct, frozen=True):
    """One machine: its clock, and the settings of its node."""

    name: str
    offset_s: float = 0.0
    drift: float = 0.0
    disk_latency_s: float = 0.0005
    settings: dict[str, Any] = {}


class Plan(msgspec.Struct, frozen=True):
    """All of a run. Faults are over and acts done by `active_s`; within `settle_s` after that the network is one."""

    seed: str
    weather: Weather
    nodes: list[NodePlan]
    ties: list[Tie]
    faults: list[Fault]
    acts: list[Act]
    active_s: float
    settle_s: float

    def as_json(self) -> str:
        return msgspec.json.encode(self).decode()

    def without(self, name: str) -> "Plan":
        """The plan with one machine less, and nothing that needs it."""
        faults = [msgspec.structs.replace(it, machines=[m for m in it.machines if m != name]) for it in self.faults]
        return msgspec.structs.replace(
            self,
            nodes=[node for node in self.nodes if node.name != name],
            ties=[tie for tie in self.ties if name not in (tie.dialler, tie.acceptor)],
            faults=[fault for fault in faults if fault.machines],
            acts=[act for act in self.acts if name not in (act.machine, act.other)],
        )
