#include "csr.h"
#include "rows.h"

#include <torch/csrc/stable/library.h>

namespace infgrand {
namespace {

template <typename T>
struct Product {
  Rows<T> rows;
  T* y;

  INFGRAND_INLINE void run(int64_t begin, int64_t end, int64_t t) const {
    for (int64_t row = begin; row < end; ++row) {
      T* const target = y + row * rows.features;
      row_tile(rows, row, t, [&](int64_t d, const auto& lanes) __attribute__((always_inline)) {
        store_lanes<sizeof(lanes) / sizeof(Acc<T>)>(target + d, lanes);
      });
    }
  }
};

INFGRAND_FOR_TYPES(Product)

Tensor spmm(const Tensor& indptr, const Tensor& indices, const Tensor& x,
            const std::optional<Tensor>& row_scale, const std::optional<Tensor>& col_scale,
            double self_weight, const std::optional<Tensor>&, const std::optional<Tensor>&) {
  const char* op = "infgrand::spmm";
  check_matrix(op, x);
  check_csr(op, indptr, indices, x);
  check_scale(op, "row_scale", row_scale, indptr.size(0) - 1, x);
  check_scale(op, "col_scale", col_scale, x.size(0), x);
  check_structure(op, indptr, indices, x.size(0));
  Tensor y = torch::stable::new_empty(x, {indptr.size(0) - 1, x.size(1)});
  prefer_huge_pages(y);
  for_type(x, [&](auto type) {
    using T = decltype(type);
    const Product<T> product{
        {static_cast<const int64_t*>(indptr.const_data_ptr()),
         static_cast<const int32_t*>(indices.const_data_ptr()), indices.size(0),
         static_cast<const T*>(x.const_data_ptr()), x.size(1), data<Acc<T>>(row_scale),
         data<Acc<T>>(col_scale), static_cast<Acc<T>>(self_weight), x.size(0)},
        static_cast<T*>(y.mutable_data_ptr())};
    for_rows(product.rows.indptr, y.size(0), num_tiles<T>(x.size(1)),
             [&](int64_t begin, int64_t end, int64_t t) { run(product, begin, end, t); });
  });
  return y;
}

}  // namespace
}  // namespace infgrand

STABLE_TORCH_LIBRARY_IMPL(infgrand, CPU, m) { m.impl("spmm", TORCH_BOX(&infgrand::spmm)); }
