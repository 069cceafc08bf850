// The product over a CSR, and hops of it, a tile of features at a time.
//
// A tile is one cache line (in small graphs two) of every row of x: 64 bytes of its features,
// scaled and widened, copied to where the rows' lines lie side by side. A graph of 169 k nodes
// gathers its neighbours from 11 MB, which a processor's last cache holds, where whole rows of 128
// features are 87 MB; and all hops are done for one tile before the next, so that what lies between
// them never leaves it.
#pragma once

#include "../pooling.h"
#include "csr.h"

namespace infgrand {

// s_i = r_i * (sum_{e = (i, j)} v_e c_j x_j + u c_i x_i), and x = s for the next of `hops` hops.
// y is the last s or, pooled, factor * pool(x, s_1, ..., s_hops). The first x is read as m_i x_i.
struct Product {
  const Tensor &indptr, &indices, &x;
  std::optional<Tensor> row_scale, col_scale, values;  // r, c, v: 1 where not given
  double self_weight;                                  // u
  int64_t hops = 1;
  std::optional<Pooling> pooling = {};
  double factor = 1;
  std::optional<Tensor> mask = {};  // m: 1 where not given
};

Tensor multiply(const Product& product);

}  // namespace infgrand
