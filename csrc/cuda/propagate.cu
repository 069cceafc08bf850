#include "../propagate.h"
#include "product.h"

namespace infgrand {
namespace {

Tensor propagate(const Tensor& indptr, const Tensor& indices, const Tensor& x,
                 const Tensor& scale, double self_weight, int64_t hops, std::string pooling,
                 const std::optional<Tensor>&, const std::optional<Tensor>&) {
  const char* op = "infgrand::propagate";
  check_propagate(op, indptr, indices, x, scale, hops);
  const Launcher launch(x);
  const auto fresh = [&] { return torch::stable::new_empty(x, {x.size(0), x.size(1)}); };
  const auto hop = [&](const Tensor& source, const Tensor* target, const Tensor& pooled,
                       const Tensor& pool_with, Pooling pool, double factor) {
    for_type(x, [&](auto type) {
      using T = decltype(type);
      auto product = product_of<T>(indptr, indices, source, scale, scale, {}, self_weight);
      if (target) product.y = writing<T>(*target);
      product.pooled = writing<T>(pooled);
      product.pool_with = reading<T>(pool_with);
      product.pooling = pool;
      product.factor = static_cast<Acc<T>>(factor);
      multiply(product, x, launch);
    });
  };
  return propagate_hops(op, x, hops, pooling, fresh, hop);
}

}  // namespace
}  // namespace infgrand

INFGRAND_REGISTER(m) { m.impl("propagate", TORCH_BOX(&infgrand::propagate)); }
