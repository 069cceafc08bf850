"""One temperature for all logits of a model, so that its probabilities are as often right as they
say (Guo et al., ICML 2017: On Calibration of Modern Neural Networks, section 4.2)."""

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

LEAST, MOST = 0.01, 100.0


def temperature(logits: Tensor, labels: Tensor) -> float:
    r"""$\arg\min_T \mathrm{mean}_i\,CE(h_i / T, y_i)$, of 0.01 to 100.

    Logits of nodes that trained nothing, the validation nodes. The likeliest class is the same at
    any T. It is found to five digits: the error has one minimum in $1/T$.

    Args:
        logits: $h$, `[n, C]`.
        labels: classes, int64 `[n]`; or of several labels 0, 1 and NaN, `[n, C]`, of which each
            that is known counts alike.
    """
    from scipy.optimize import minimize_scalar  # 0.2 s, once a training

    h, y = logits.double().cpu(), labels.cpu()
    known = torch.ones_like(y, dtype=torch.bool) if y.ndim == 1 else ~y.isnan()

    def error(log: float) -> float:
        scaled = h / math.exp(log)
        if y.ndim == 1:
            return float(cross_entropy(scaled, y))
        return float(binary_cross_entropy_with_logits(scaled[known], y[known].double()))

    bounds = math.log(LEAST), math.log(MOST)
    found = minimize_scalar(error, bounds=bounds, method="bounded", options={"xatol": 1e-5})
    return math.exp(float(found.x))
