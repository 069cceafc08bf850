#include "../propagate.h"
#include "csr.h"
#include "product.h"

#include <torch/csrc/stable/library.h>

namespace infgrand {
namespace {

Tensor propagate(const Tensor& indptr, const Tensor& indices, const Tensor& x,
                 const Tensor& scale, double self_weight, int64_t hops, std::string pooling,
                 const std::optional<Tensor>&, const std::optional<Tensor>&) {
  const char* op = "infgrand::propagate";
  check_propagate(op, indptr, indices, x, scale, hops);
  check_structure(op, indptr, indices, x.size(0));
  const auto fresh = [&] {
    const Tensor tensor = torch::stable::new_empty(x, {x.size(0), x.size(1)});
    prefer_huge_pages(tensor);
    return tensor;
  };
  const auto hop = [&](const Tensor& source, const Tensor* target, const Tensor& pooled,
                       const Tensor& pool_with, Pooling pool, double factor) {
    for_type(x, [&](auto type) {
      using T = decltype(type);
      multiply(Product<T>{rows_of<T>(indptr, indices, source, scale, scale, {}, self_weight),
                          x.size(0),
                          target ? static_cast<T*>(target->mutable_data_ptr()) : nullptr,
                          static_cast<T*>(pooled.mutable_data_ptr()),
                          static_cast<const T*>(pool_with.const_data_ptr()), pool,
                          static_cast<Acc<T>>(factor)});
    });
  };
  return propagate_hops(op, x, hops, pooling, fresh, hop);
}

}  // namespace
}  // namespace infgrand

STABLE_TORCH_LIBRARY_IMPL(infgrand, CPU, m) {
  m.impl("propagate", TORCH_BOX(&infgrand::propagate));
}
