"""`benchmarks.ode`: the training step with libraries for PyTorch, on one thread."""

import warnings
from collections.abc import Callable

import torch

from benchmarks.ode._ours import RATE, Problem
from benchmarks.ode._peers import Peer

torch.set_num_threads(1)


class Field(torch.nn.Module):
    def __init__(self, problem: Problem):
        super().__init__()
        parts = []
        for weight, bias in zip(problem.weights, problem.biases, strict=True):
            layer = torch.nn.Linear(*weight.shape[::-1])
            layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
            parts += [layer, torch.nn.Tanh()]
        self.net = torch.nn.Sequential(*parts[:-1])

    def forward(self, t, y):
        return self.net(y)


def training(problem: Problem, field: Field, solve: Callable) -> Callable[[], float]:
    """`solve(y0) -> (sample, time, channel)`."""
    y0, targets = torch.tensor(problem.y0), torch.tensor(problem.targets)
    optimiser = torch.optim.Adam(field.parameters(), lr=RATE)

    def once():
        optimiser.zero_grad()
        loss = torch.nn.functional.mse_loss(solve(y0), targets)
        loss.backward()
        optimiser.step()
        return loss.item()

    return once


def torchdiffeq(problem: Problem, function: str = "odeint") -> Peer:
    """One step for the batch; the gradient by autograd."""
    import torchdiffeq

    field, ts, tol = Field(problem), torch.tensor(problem.ts), problem.setting.tol
    odeint, calls = getattr(torchdiffeq, function), []

    def solve(y0):
        return odeint(field, y0, ts, rtol=tol, atol=tol, method="dopri5").transpose(0, 1)

    counting = field.register_forward_hook(lambda *_: calls.append(1))
    solve(torch.tensor(problem.y0))
    counting.remove()
    return Peer(f"torchdiffeq.{function}", training(problem, field, solve), len(calls))


def torchdiffeq_adjoint(problem: Problem) -> Peer:
    """The gradient by the adjoint equation."""
    return torchdiffeq(problem, "odeint_adjoint")


def torchode(problem: Problem) -> Peer:
    """A step per sample; no gradient through the step sizes, as in all others."""
    import torchode

    field, tol = Field(problem), problem.setting.tol
    ts = torch.tensor(problem.ts).expand(problem.setting.batch, -1)
    term = torchode.ODETerm(field)
    adjoint, how = _scripted(
        torchode.AutoDiffAdjoint(
            torchode.Dopri5(term=term),
            torchode.IntegralController(atol=tol, rtol=tol, term=term),
            backprop_through_step_size_control=False,
        )
    )

    def solved(y0):
        return adjoint.solve(torchode.InitialValueProblem(y0=y0, t_eval=ts, t_start=ts[:, 0], t_end=ts[:, -1]))

    step = training(problem, field, lambda y0: solved(y0).ys)
    evaluations = solved(torch.tensor(problem.y0)).stats["n_f_evals"]
    return Peer(f"torchode.AutoDiffAdjoint, {how}", step, float(evaluations.float().mean()))


def _scripted(adjoint):
    """By TorchScript, as torchode's authors advise, where PyTorch still can: 2.13 cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return torch.jit.script(adjoint), "TorchScript"
        except RuntimeError:
            return adjoint, "eager"
