"""The optimizer of teacher and student: torch's Adam, which does not import torch's compiler."""

from inspect import unwrap

import torch
from torch import nn

from ..config.schema import StudentConfig, TeacherConfig


def adam(model: nn.Module, settings: TeacherConfig | StudentConfig) -> torch.optim.Adam:
    """L2 penalty, not decoupled, as the authors have it."""
    return Adam(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)


class Adam(torch.optim.Adam):
    """Its methods as torch wrote them. torch wraps them to tell its compiler not to trace them, and
    imports it to do so: a second or more of every process. Models may be compiled, steps not."""

    add_param_group = unwrap(torch.optim.Adam.add_param_group)
    zero_grad = unwrap(torch.optim.Adam.zero_grad)
    state_dict = unwrap(torch.optim.Adam.state_dict)
    load_state_dict = unwrap(torch.optim.Adam.load_state_dict)
    step = torch.no_grad()(unwrap(torch.optim.Adam.step))
