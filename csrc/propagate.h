// propagate: pool(x_0, ..., x_hops), whatever multiplies.
#pragma once

#include "checks.h"
#include "pooling.h"

#include <torch/csrc/stable/ops.h>

#include <algorithm>

namespace infgrand {

// Every hop reads one buffer, writes the next and pools in passing; the last writes none, and
// divides where the mean is asked for. multiply(source, target or null, pooled, pool_with, pooling,
// factor) does a hop; fresh() makes a tensor like x.
template <typename Fresh, typename Multiply>
Tensor propagate_hops(const char* op, const Tensor& x, int64_t hops, const std::string& name,
                      const Fresh& fresh, const Multiply& multiply) {
  const Pooling pooling = parse_pooling(op, name);
  const Tensor pooled = fresh();
  std::optional<Tensor> buffers[2];
  for (int64_t k = 0; k < std::min<int64_t>(hops - 1, 2); ++k) buffers[k] = fresh();
  Tensor source = x;
  for (int64_t k = 0; k < hops; ++k) {
    const bool last = k + 1 == hops;
    const Tensor* target = last ? nullptr : &*buffers[k % 2];
    multiply(source, target, pooled, k ? pooled : x, pooling,
             last ? 1.0 / static_cast<double>(hops + 1) : 1.0);
    if (!last) source = *target;
  }
  return pooled;
}

}  // namespace infgrand
