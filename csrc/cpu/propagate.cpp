#include "csr.h"
#include "product.h"

#include <torch/csrc/stable/library.h>

namespace infgrand {
namespace {

// Every hop reads one buffer, writes the next and pools in passing; the last writes none.
Tensor propagate(const Tensor& indptr, const Tensor& indices, const Tensor& x,
                 const Tensor& scale, double self_weight, int64_t hops, std::string pooling,
                 const std::optional<Tensor>&, const std::optional<Tensor>&) {
  const char* op = "infgrand::propagate";
  check_propagate(op, indptr, indices, x, scale, hops);
  check_structure(op, indptr, indices, x.size(0));
  const Pooling pool = parse_pooling(op, pooling);
  Tensor pooled = torch::stable::new_empty(x, {x.size(0), x.size(1)});
  prefer_huge_pages(pooled);
  std::optional<Tensor> buffers[2];
  for (int64_t k = 0; k < std::min<int64_t>(hops - 1, 2); ++k) {
    buffers[k] = torch::stable::new_empty(x, {x.size(0), x.size(1)});
    prefer_huge_pages(*buffers[k]);
  }
  for_type(x, [&](auto type) {
    using T = decltype(type);
    const auto pointer = [](const Tensor& tensor) { return static_cast<T*>(tensor.mutable_data_ptr()); };
    Tensor source = x;
    for (int64_t k = 0; k < hops; ++k) {
      const bool last = k + 1 == hops;
      Product<T> product{rows_of<T>(indptr, indices, source, scale, scale, self_weight), x.size(0),
                         last ? nullptr : pointer(*buffers[k % 2])};
      product.pooled = pointer(pooled);
      product.pool_with = static_cast<const T*>((k ? pooled : x).const_data_ptr());
      product.pooling = pool;
      product.factor = last ? Acc<T>(1) / static_cast<Acc<T>>(hops + 1) : Acc<T>(1);
      multiply(product);
      if (!last) source = *buffers[k % 2];
    }
  });
  return pooled;
}

}  // namespace
}  // namespace infgrand

STABLE_TORCH_LIBRARY_IMPL(infgrand, CPU, m) {
  m.impl("propagate", TORCH_BOX(&infgrand::propagate));
}
