#include "product.h"

#include <algorithm>

namespace infgrand {
namespace {

Tensor propagate(const Tensor& indptr, const Tensor& indices, const Tensor& x,
                 const Tensor& scale, double self_weight, int64_t hops, std::string pooling,
                 const std::optional<Tensor>&, const std::optional<Tensor>&) {
  const char* op = "infgrand::propagate";
  check_propagate(op, indptr, indices, x, scale, hops);
  const Launcher launch(x);
  const std::optional<Pooling> pool = parse_pooling(op, pooling);
  const auto fresh = [&] { return torch::stable::new_empty(x, {x.size(0), x.size(1)}); };
  const Tensor result = fresh();
  std::optional<Tensor> buffers[2];
  for (int64_t k = 0; k < std::min<int64_t>(hops - 1, 2); ++k) buffers[k] = fresh();
  // Every hop reads one buffer, writes the next and pools in passing; the last writes the result.
  for_type(x, [&](auto type) {
    using T = decltype(type);
    for (int64_t k = 0; k < hops; ++k) {
      const Tensor& source = k ? *buffers[(k - 1) % 2] : x;
      auto product = product_of<T>(indptr, indices, source, scale, scale, {}, self_weight);
      const bool last = k + 1 == hops;
      if (!last) product.y = writing<T>(*buffers[k % 2]);
      else if (!pool) product.y = writing<T>(result);
      if (pool) {
        product.pooled = writing<T>(result);
        product.pool_with = reading<T>(k ? result : x);
        product.pooling = *pool;
        if (last && pool == Pooling::kMean)
          product.factor = Acc<T>(1) / static_cast<Acc<T>>(hops + 1);
      }
      multiply(product, x, launch);
    }
  });
  return result;
}

}  // namespace
}  // namespace infgrand

INFGRAND_REGISTER(m) { m.impl("propagate", TORCH_BOX(&infgrand::propagate)); }
