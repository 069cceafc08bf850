#include "product.h"

#include <torch/csrc/stable/library.h>

namespace infgrand {
namespace {

Tensor spmm(const Tensor& indptr, const Tensor& indices, const Tensor& x,
            const std::optional<Tensor>& row_scale, const std::optional<Tensor>& col_scale,
            double self_weight, const std::optional<Tensor>& values, const std::optional<Tensor>&,
            const std::optional<Tensor>&, const std::optional<Tensor>&,
            const std::optional<Tensor>&, const std::optional<Tensor>&) {
  const char* op = "infgrand::spmm";
  check_product(op, indptr, indices, x, row_scale, col_scale, values);
  check_structure(op, indptr, indices, x.size(0));
  return multiply({indptr, indices, x, row_scale, col_scale, values, self_weight});
}

}  // namespace
}  // namespace infgrand

STABLE_TORCH_LIBRARY_IMPL(infgrand, CPU, m) { m.impl("spmm", TORCH_BOX(&infgrand::spmm)); }
