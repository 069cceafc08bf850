// The product over a CSR, and what may be done with a row while it is in registers.
#pragma once

#include "../pooling.h"
#include "warp.h"

namespace infgrand {

// s_i = r_i * (sum_{e = (i, j)} v_e c_j x_j + u c_i x_i);  y_i = s_i;
// pooled_i = factor * pool(m_i * pool_with_i, s_i), where masked: then m stands behind c.
template <typename T>
struct Product {
  Schedule schedule;
  Buffer<const int32_t> indices;
  Buffer<const T> x;
  Buffer<const Acc<T>> row_scale;  // may be null: 1
  Buffer<const Acc<T>> col_scale;  // may be null: 1
  Buffer<const Acc<T>> values;     // may be null: 1
  Acc<T> self_weight;
  uint32_t num_cols;
  int32_t features;  // 32 bits: an address is one multiplication
  Buffer<T> y;       // may be null
  Buffer<T> pooled;  // may be null
  Buffer<const T> pool_with;
  Pooling pooling;
  Acc<T> factor;
};

#ifndef INFGRAND_EMULATED
static_assert(sizeof(Product<float>) <= 128, "nvcc would keep less of it in registers");
#endif

template <typename T>
Product<T> product_of(const Tensor& indptr, const Tensor& indices, const Tensor& x,
                      const std::optional<Tensor>& row_scale,
                      const std::optional<Tensor>& col_scale, const std::optional<Tensor>& values,
                      double self_weight, const std::optional<Tensor>& schedule) {
  return {schedule_of(indptr, indices, schedule),
          reading<int32_t>(indices),
          reading<T>(x),
          reading<Acc<T>>(row_scale),
          reading<Acc<T>>(col_scale),
          reading<Acc<T>>(values),
          static_cast<Acc<T>>(self_weight),
          static_cast<uint32_t>(x.size(0)),
          static_cast<int32_t>(x.size(1)),
          {nullptr, 0},
          {nullptr, 0},
          {nullptr, 0},
          Pooling::kMean,
          Acc<T>(1)};
}

// `like` gives the dtype and the device of the workspace that long rows need.
template <bool kMasked = false, typename T>
void multiply(const Product<T>& product, const Tensor& like, const Launcher& launch);

extern template void multiply(const Product<float>&, const Tensor&, const Launcher&);
extern template void multiply(const Product<double>&, const Tensor&, const Launcher&);
extern template void multiply<true>(const Product<float>&, const Tensor&, const Launcher&);
extern template void multiply<true>(const Product<double>&, const Tensor&, const Launcher&);
extern template void multiply(const Product<__half>&, const Tensor&, const Launcher&);
extern template void multiply(const Product<__nv_bfloat16>&, const Tensor&, const Launcher&);

}  // namespace infgrand
