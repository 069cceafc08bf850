// spmm: y_i = r_i * (sum_{j in row i} c_j x_j + u c_i x_i) over a CSR without edge values.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <cstdint>
#include <optional>

namespace infgrand {

using torch::stable::Tensor;
using torch::headeronly::ScalarType;

// float16 and bfloat16 are stored as such and accumulated in float32.
inline ScalarType accumulate_type(ScalarType storage) {
  return storage == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

inline void check_scale(const std::optional<Tensor>& scale, const char* name, int64_t length,
                        const Tensor& x) {
  if (!scale.has_value()) return;
  STD_TORCH_CHECK(scale->dim() == 1 && scale->size(0) == length, "infgrand::spmm: ", name,
                  " must have shape [", length, "]");
  STD_TORCH_CHECK(scale->scalar_type() == accumulate_type(x.scalar_type()), "infgrand::spmm: ",
                  name, " must be float64 where x is float64, otherwise float32");
  STD_TORCH_CHECK(scale->is_contiguous(), "infgrand::spmm: ", name, " must be contiguous");
  STD_TORCH_CHECK(scale->device() == x.device(), "infgrand::spmm: ", name,
                  " must be on the device of x");
}

// Everything that can be checked without reading the data.
inline void check_spmm(const Tensor& indptr, const Tensor& indices, const Tensor& x,
                       const std::optional<Tensor>& row_scale,
                       const std::optional<Tensor>& col_scale) {
  STD_TORCH_CHECK(indptr.dim() == 1 && indptr.size(0) >= 1,
                  "infgrand::spmm: indptr must have shape [rows + 1]");
  STD_TORCH_CHECK(indptr.scalar_type() == ScalarType::Long, "infgrand::spmm: indptr must be int64");
  STD_TORCH_CHECK(indices.dim() == 1, "infgrand::spmm: indices must have one dimension");
  STD_TORCH_CHECK(indices.scalar_type() == ScalarType::Int,
                  "infgrand::spmm: indices must be int32");
  STD_TORCH_CHECK(x.dim() == 2, "infgrand::spmm: x must have two dimensions, found ", x.dim());
  const auto type = x.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double ||
                      type == ScalarType::BFloat16 || type == ScalarType::Half,
                  "infgrand::spmm: x must be float32, float64, bfloat16 or float16");
  STD_TORCH_CHECK(indptr.is_contiguous(), "infgrand::spmm: indptr must be contiguous");
  STD_TORCH_CHECK(indices.is_contiguous(), "infgrand::spmm: indices must be contiguous");
  STD_TORCH_CHECK(x.is_contiguous(), "infgrand::spmm: x must be contiguous");
  STD_TORCH_CHECK(indptr.device() == x.device(),
                  "infgrand::spmm: indptr must be on the device of x");
  STD_TORCH_CHECK(indices.device() == x.device(),
                  "infgrand::spmm: indices must be on the device of x");
  check_scale(row_scale, "row_scale", indptr.size(0) - 1, x);
  check_scale(col_scale, "col_scale", x.size(0), x);
}

}  // namespace infgrand
