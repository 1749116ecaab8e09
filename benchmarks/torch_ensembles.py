"""The ensemble fit as PyTorch users have it: a loop over members, and torch.func's vmap over stacked members.

The peers of benchmarks/ensembles.py. Both do what a member of ours does in a step: draw a batch from its bootstrap,
gather it, forward, backward, Adam.
"""

from collections.abc import Callable

import torch
from torch import nn


class Data:
    """obs (N, O) and chunks (N, T A), gathered by the members' bootstrap tables (K, M) of step indices."""

    def __init__(self, obs, chunks, tables):
        self.obs, self.chunks, self.tables = (torch.from_numpy(x) for x in (obs, chunks, tables))


def network(sizes: tuple[int, ...]) -> nn.Sequential:
    """ReLU layers of those sizes, linear at the end."""
    layers = []
    for i, o in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(i, o), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def loop(sizes: tuple[int, ...], data: Data, batch: int, rate: float) -> Callable[[int], None]:
    """A function of the number of steps: every member by itself, with nn.Sequential and torch.optim.Adam."""
    members = [network(sizes) for _ in data.tables]
    optimisers = [torch.optim.Adam(member.parameters(), lr=rate) for member in members]

    def run(steps: int) -> None:
        for member, optimiser, table in zip(members, optimisers, data.tables, strict=True):
            for _ in range(steps):
                index = table[torch.randint(len(table), (batch,))]
                loss = nn.functional.mse_loss(member(data.obs[index]), data.chunks[index])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()

    return run


def vmapped(sizes: tuple[int, ...], data: Data, batch: int, rate: float) -> Callable[[int], None]:
    """The same with all members at once: torch.func.vmap of grad, and Adam over the stacked parameters."""
    members = [network(sizes) for _ in data.tables]
    params, _ = torch.func.stack_module_state(members)
    names = list(params)
    values = [params[name].detach() for name in names]
    first, second = ([torch.zeros_like(v) for v in values] for _ in range(2))
    member = network(sizes).to('meta')
    state = {'step': 0}

    def loss(params, obs, chunk):
        return nn.functional.mse_loss(torch.func.functional_call(member, params, (obs,)), chunk)

    grad = torch.func.vmap(torch.func.grad(loss))

    def adam(grads) -> None:
        state['step'] += 1
        torch._foreach_lerp_(first, grads, 0.1)
        torch._foreach_mul_(second, 0.999)
        torch._foreach_addcmul_(second, grads, grads, 0.001)
        correction = (1 - 0.999 ** state['step']) ** 0.5
        root = torch._foreach_sqrt(second)
        torch._foreach_div_(root, correction)
        torch._foreach_add_(root, 1e-8)
        torch._foreach_addcdiv_(values, first, root, -rate / (1 - 0.9 ** state['step']))

    def run(steps: int) -> None:
        for _ in range(steps):
            index = data.tables.gather(1, torch.randint(data.tables.shape[1], (len(data.tables), batch)))
            grads = grad(dict(zip(names, values, strict=True)), data.obs[index], data.chunks[index])
            adam([grads[name] for name in names])

    return run
