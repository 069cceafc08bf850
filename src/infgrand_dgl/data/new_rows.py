"""Features of nodes that a dataset did not have."""

from typing import Any

import scipy.sparse as sp
import torch
from torch import Tensor

from ..config.schema import DataConfig
from ..errors import InputError
from ..features.convert import as_features, normalized_rows, row_normalized
from ..features.matrix import FeatureMatrix
from ..graph.weights import as_array
from ..registry import sources
from ..system.arrays import first_not_finite


def new_rows(config: DataConfig, features: Any, width: int) -> Tensor:
    """Features of somebody's files as the dataset has its own, float32 `[n, D]`; what is made of
    all rows (`data.standardize`) left out.

    Args:
        features: numbers `[n, D]`: a tensor, an array, or a sparse matrix.
        width: D.

    Raises:
        InputError: no finite numbers `[n, D]`.
    """
    shape = getattr(features, "shape", None)
    if shape is not None and tuple(shape) == (0, width):
        return torch.empty(0, width)
    sparse = isinstance(features, Tensor) and features.layout != torch.strided
    given = features if sparse or sp.issparse(features) else as_array(features)
    normalize = sources[config.name].row_normalized(config)
    if normalize and sp.issparse(given):
        given = row_normalized(sp.csr_matrix(given))
    x = FeatureMatrix(as_features(given)).to_dense()
    x = normalized_rows(x) if normalize and not sp.issparse(given) else x
    if x.shape[1] != width:
        raise InputError(f"features: expected [n, {width}], found {list(x.shape)}")
    if (row := first_not_finite(x)) is not None:
        raise InputError(f"features: expected finite numbers, found others in row {row}")
    return x
