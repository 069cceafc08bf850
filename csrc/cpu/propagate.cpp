#include "product.h"

#include <torch/csrc/stable/library.h>

namespace infgrand {
namespace {

Tensor propagate(const Tensor& indptr, const Tensor& indices, const Tensor& x, const Tensor& scale,
                 double self_weight, int64_t hops, std::string pooling,
                 const std::optional<Tensor>& values, const std::optional<Tensor>& mask,
                 const std::optional<Tensor>&, const std::optional<Tensor>&,
                 const std::optional<Tensor>&, const std::optional<Tensor>&,
                 const std::optional<Tensor>&) {
  const char* op = "infgrand::propagate";
  check_propagate(op, indptr, indices, x, scale, hops, values, mask);
  check_structure(op, indptr, indices, x.size(0));
  const std::optional<Pooling> pool = parse_pooling(op, pooling);
  const double factor = pool == Pooling::kMean ? 1.0 / static_cast<double>(hops + 1) : 1.0;
  return multiply(
      {indptr, indices, x, scale, scale, values, self_weight, hops, pool, factor, mask});
}

}  // namespace
}  // namespace infgrand

STABLE_TORCH_LIBRARY_IMPL(infgrand, CPU, m) {
  m.impl("propagate", TORCH_BOX(&infgrand::propagate));
}
