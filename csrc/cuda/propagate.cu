#include "product.h"

#include <algorithm>
#include <string>

namespace infgrand {
namespace {

// Every hop reads one buffer, writes the next and pools in passing; the last writes none.
Tensor propagate(const Tensor& indptr, const Tensor& indices, const Tensor& x,
                 const Tensor& scale, double self_weight, int64_t hops, std::string pooling,
                 const std::optional<Tensor>&, const std::optional<Tensor>&) {
  const char* op = "infgrand::propagate";
  check_propagate(op, indptr, indices, x, scale, hops);
  const Pooling pool = parse_pooling(op, pooling);
  const Launcher launch(x);
  const auto like_x = [&] { return torch::stable::new_empty(x, {x.size(0), x.size(1)}); };
  Tensor pooled = like_x();
  std::optional<Tensor> buffers[2];
  for (int64_t k = 0; k < std::min<int64_t>(hops - 1, 2); ++k) buffers[k] = like_x();
  for_type(x, [&](auto type) {
    using T = decltype(type);
    Tensor source = x;
    for (int64_t k = 0; k < hops; ++k) {
      const bool last = k + 1 == hops;
      auto product = product_of<T>(indptr, indices, source, scale, scale, self_weight);
      if (!last) product.y = writing<T>(*buffers[k % 2]);
      product.pooled = writing<T>(pooled);
      product.pool_with = reading<T>(k ? pooled : x);
      product.pooling = pool;
      product.factor = last ? Acc<T>(1) / static_cast<Acc<T>>(hops + 1) : Acc<T>(1);
      multiply(product, x, launch);
      if (!last) source = *buffers[k % 2];
    }
  });
  return pooled;
}

}  // namespace
}  // namespace infgrand

INFGRAND_REGISTER(m) { m.impl("propagate", TORCH_BOX(&infgrand::propagate)); }
