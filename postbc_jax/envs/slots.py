"""Which of a pool's instances holds which episode: a cache, least recently used first."""

from collections.abc import Sequence


class Slots:
    """Slots 0, 1, ... and the episodes in them.

    Twice the largest batch asked for is kept, so that an evaluation does not throw out the episodes of the training
    that it interrupts.
    """

    def __init__(self):
        self.holds: dict[int, bytes | None] = {}  # in order of use; None: the episode is over
        self.found: dict[bytes, set[int]] = {}
        self.largest = 0

    def take(self, names: Sequence[bytes | None]) -> list[tuple[int, bool]]:
        """A slot of its own for each episode, and whether it is stale: it does not hold that episode.

        A stale one is, in this order: one whose episode is over, a new one, the least recently used. Equal names (the
        same start, to be played in several ways) get different slots. Follow with `hold` for every slot.
        """
        self.largest = max(self.largest, len(names))
        slots: list[int | None] = []
        taken: set[int] = set()
        for name in names:
            slot = next((slot for slot in self.found.get(name, ()) if slot not in taken), None)
            slots.append(slot)
            taken |= {slot} - {None}
        others = [slot for slot in self.holds if slot not in taken]
        over = [slot for slot in others if self.holds[slot] is None]
        new = range(len(self.holds), 2 * self.largest)
        free = iter([*over, *new, *(slot for slot in others if self.holds[slot] is not None)])
        return [(next(free), True) if slot is None else (slot, False) for slot in slots]

    def hold(self, slot: int, name: bytes | None) -> None:
        """Notes the episode, at its present, that a slot holds now; None where it is over."""
        before = self.holds.pop(slot, None)
        if before is not None:
            self.found[before].discard(slot)
            if not self.found[before]:
                del self.found[before]
        self.holds[slot] = name
        if name is not None:
            self.found.setdefault(name, set()).add(slot)
