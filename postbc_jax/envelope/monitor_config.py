"""The monitor's settings: from which measurements it calls a policy what, and what is then done."""

import dataclasses

# Of a learner, by number; of several that a chunk gives evidence of, the one that stands last.
STATES = ('healthy', 'under-exploring', 'overconfident', 'drifting')
# What may be done about each; MonitorConfig says what the words mean.
RESPONSES = {
    'under_exploring': ('bound', 'entropy'),
    'overconfident': ('bound', 'entropy', 'learning_rate'),
    'drifting': ('bound', 'learning_rate', 'roll_back', 'stop'),
}


@dataclasses.dataclass(frozen=True)
class MonitorConfig:
    """When a policy is called what, and what is done. Spread and distance are in units of the reference's spread: the
    envelope's, or the pretrained policy's where no envelope was fitted.

    Attributes:
      enter: chunks in a row whose evidence makes a state. 2: one evaluation may be chance, and two chunks are few to
        lose.
      leave: chunks in a row without evidence that end it. 3, more than `enter`: a state that comes and goes says less
        than one that stays.
      window: evaluations, the improvement's slope is fitted to. 5.
      fall: success lost against the best so far that counts as a collapse. .15; at least two standard errors of the
        difference of two shares of so many episodes, so that few episodes do not collapse by chance.
      outside: share of explored chunks outside the envelope. .25: a good demonstrator has the envelope's own false
        alarms, .05 say, and RL may go beyond it a little to become better.
      far: distance of the policy's mean from the pretrained policy's. 3 standard deviations of what is supported.
      narrow: spread below which a policy is sure. .25: a quarter of what the demonstrations leave open.
      near: distance below which it has not moved. .25.
      gain: success a chunk, below which it does not improve. .005.
      solved: success from which on neither being sure nor standing still is a fault. .9.
      under_exploring, overconfident, drifting: what is done on entering the state and again after `enter` chunks
        that it lasts, of RESPONSES. (): nothing, it is written down. 'bound': the noise bound tighter by `bound_step`
        where it drifts, else wider again up to the setting. 'entropy': more of it, by `target_entropy_step` and
        `entropy_cost_step`. 'learning_rate': times `learning_rate_step`. 'roll_back': to the best chunk, where success
        has collapsed. 'stop': nothing is learnt any more, see `roll_backs`; at once where
        'roll_back' is not asked for.
      bound_step, learning_rate_step: factors in (0, 1).
      target_entropy_step: nats a decision. entropy_cost_step: of the loss.
      roll_backs: how many collapses 'stop' lets pass; the next is rolled back and is the last.

    Raises:
      ValueError: a value that cannot be.
    """

    enter: int = 2
    leave: int = 3
    window: int = 5
    fall: float = 0.15
    outside: float = 0.25
    far: float = 3.0
    narrow: float = 0.25
    near: float = 0.25
    gain: float = 0.005
    solved: float = 0.9
    under_exploring: tuple[str, ...] = ()
    overconfident: tuple[str, ...] = ()
    drifting: tuple[str, ...] = ()
    bound_step: float = 0.8
    learning_rate_step: float = 0.5
    target_entropy_step: float = 0.5
    entropy_cost_step: float = 0.003
    roll_backs: int = 3

    def __post_init__(self):
        for name in ('enter', 'leave'):
            self._require(name, getattr(self, name) >= 1, 'must be at least 1 chunk')
        self._require('window', self.window >= 2, 'a slope needs at least 2 evaluations')
        for name in ('far', 'narrow', 'near', 'entropy_cost_step', 'target_entropy_step', 'roll_backs'):
            self._require(name, getattr(self, name) >= 0, 'must be at least 0')
        for name in ('fall', 'outside', 'solved'):
            self._require(name, 0 <= getattr(self, name) <= 1, 'a share lies in [0, 1]')
        for name in ('bound_step', 'learning_rate_step'):
            self._require(name, 0 < getattr(self, name) < 1, 'a factor that shrinks lies in (0, 1)')
        for state, known in RESPONSES.items():
            for response in getattr(self, state):
                self._require(state, response in known, f'choose of {", ".join(known)}')

    def _require(self, field: str, holds: bool, what: str) -> None:
        if not holds:
            raise ValueError(f'monitor.{field}={getattr(self, field)}: {what}')

    def does(self, response: str) -> tuple[bool, ...]:
        """Whether each of STATES asks for it."""
        return tuple(response in getattr(self, state.replace('-', '_'), ()) for state in STATES)
