"""A council: the witnesses of one domain. Honest witnesses are machines; liars are users who hold a witness's key.

The name of the domain commits to the keys, so all keys are drawn before any node starts.
"""

from collections.abc import Sequence

from node.witness.newest import path_of, spell_begin
from protocol.records.record import SignedRecord
from protocol.signing import SEED_BYTES, SigningKey
from protocol.witness.policy import make_policy
from simulations.cast.machine import FOLDER, Machine
from simulations.cast.user import User
from simulations.world.simulation import Simulation


class Council:
    """The witnesses of `domain`.

    `keys`: the key of every witness by name, in the order of the names given. `seats`: the names of the honest ones,
    which are names of machines. `liars`: the names of the others.
    """

    def __init__(self, simulation: Simulation, seats: Sequence[str], faulty: int, liars: Sequence[str] = ()) -> None:
        """`faulty`: how many liars the policy allows, which may be fewer than there are."""
        self.seats, self.liars, self.faulty = tuple(seats), tuple(liars), faulty
        self.keys = {
            name: SigningKey(simulation.stream(f"witness {name}").randbytes(SEED_BYTES)) for name in (*seats, *liars)
        }
        self.policy = make_policy([key.public for key in self.keys.values()], faulty)
        self.domain = f"com.example.{self.policy.name}"

    @property
    def quorum(self) -> int:
        return self.policy.quorum

    def seat(self, machine: Machine) -> None:
        """Give the machine its key, and begin to witness, as `dnarc witness begin` does. No node runs on it yet."""
        machine.disk.place_secret(FOLDER / "node.key", self.keys[machine.name].seed)
        self.begin(machine, None)

    def begin(self, machine: Machine, last: str | None) -> None:
        """Let the witness go on after its last receipt, the one of this id. The node is not running."""
        machine.disk.place(path_of(FOLDER, self.domain), spell_begin(last))

    def lose_newest(self, machine: Machine) -> None:
        """Remove the file of the newest receipt. The node is not running."""
        machine.disk.place(path_of(FOLDER, self.domain), None)

    def policy_record(self, user: User) -> SignedRecord:
        """The record that makes the policy known, signed by this user."""
        return user.sign("@policy", int(user.clock.now_s()), domain=self.domain, **self.policy.fields)
