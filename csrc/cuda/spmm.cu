#include "product.h"

namespace infgrand {
namespace {

Tensor spmm(const Tensor& indptr, const Tensor& indices, const Tensor& x,
            const std::optional<Tensor>& row_scale, const std::optional<Tensor>& col_scale,
            double self_weight, const std::optional<Tensor>& values,
            const std::optional<Tensor>& schedule, const std::optional<Tensor>&,
            const std::optional<Tensor>&, const std::optional<Tensor>&,
            const std::optional<Tensor>&) {
  check_product("infgrand::spmm", indptr, indices, x, row_scale, col_scale, values);
  check_schedule("infgrand::spmm", schedule, indptr);
  const Launcher launch(x);
  Tensor y = torch::stable::new_empty(x, {indptr.size(0) - 1, x.size(1)});
  for_type(x, [&](auto type) {
    using T = decltype(type);
    auto product =
        product_of<T>(indptr, indices, x, row_scale, col_scale, values, self_weight, schedule);
    product.y = writing<T>(y);
    multiply(product, x, launch);
  });
  return y;
}

}  // namespace
}  // namespace infgrand

INFGRAND_REGISTER(m) { m.impl("spmm", TORCH_BOX(&infgrand::spmm)); }
