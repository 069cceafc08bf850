r"""The average of a model's weights over the steps of its training.

$$\bar\theta_t = \sum_{s=1}^t \beta^{t-s} \theta_s \Big/ \sum_{s=1}^t \beta^{t-s}$$

with $\theta_s$ the weights after step s (Polyak and Juditsky, 1992, with the exponential weights
of Tarvainen and Valpola, NeurIPS 2017: Mean teachers). Dropout moves a student from epoch to epoch,
and the best of many is partly the luckiest; the average moves less.

torch's `AveragedModel` is a second model, and reads its count of steps, for which a GPU is waited.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

NAME = "average"  # of it in the model, while that trains


class Average(nn.Module):
    r"""$\bar\theta$ of the parameters of `model`, in which it lies as a part, for checkpoints.

    Nothing in it waits for a GPU, and a CUDA graph may record it.

    Args:
        optimizer: after each of whose steps the weights are taken in.
        decay: $\beta$.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, decay: float) -> None:
        super().__init__()
        self.weights, self.decay = tuple(model.parameters()), decay
        for i, w in enumerate(self.weights):
            self.register_buffer(f"sum{i}", torch.zeros_like(w))
        self.register_buffer("total", torch.zeros((), device=self.weights[0].device))
        self.hook = optimizer.register_step_post_hook(lambda *_: self.update())
        model.add_module(NAME, self)

    @property
    def sums(self) -> list[Tensor]:
        return [self.get_buffer(f"sum{i}") for i in range(len(self.weights))]

    @torch.no_grad()
    def update(self) -> None:
        self.get_buffer("total").mul_(self.decay).add_(1)
        for total, w in zip(self.sums, self.weights, strict=True):
            total.mul_(self.decay).add_(w)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        r"""The model with $\bar\theta$, and then again with its own weights."""
        own = [w.detach().clone() for w in self.weights]
        with torch.no_grad():
            for w, total in zip(self.weights, self.sums, strict=True):
                w.copy_(total / self.get_buffer("total"))
            yield
            for w, value in zip(self.weights, own, strict=True):
                w.copy_(value)

    def leave(self, model: nn.Module) -> None:
        """The model as it was made, with the weights that it has."""
        self.hook.remove()
        delattr(model, NAME)
