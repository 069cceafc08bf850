"""The uncertainty of the teacher: KRD's and HGMD's notion of a node's weight."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ...registry import Measure, measures
from ..measure import Inputs

BLOCK_ROWS = 1 << 16  # in float64 at a time


def entropy(inputs: Inputs) -> Tensor:
    r"""$-\sum_c q_{ic} \log q_{ic}$ of $q = \sigma(h^t)$ in nats, float64 `[N]`.

    Of several labels, which are independent given the logits, the sum of their entropies.
    """
    logits = inputs.logits
    assert logits is not None
    nats = logits.new_empty(len(logits), dtype=torch.float64)
    for start in range(0, len(logits), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        z = logits[rows].double()
        if inputs.task == "multilabel":
            log_q = torch.cat([logsigmoid(z), logsigmoid(-z)], dim=1)
        else:
            log_q = z.log_softmax(dim=1)
        nats[rows] = -torch.linalg.vecdot(log_q.exp(), log_q)
    return nats


measures.add(
    Measure(
        "entropy",
        label="Entropy",
        place=5,
        scores=entropy,
        needs_teacher=True,
        tasks=("classification", "multilabel"),
    )
)
