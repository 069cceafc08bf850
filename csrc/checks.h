// Checks of tensor arguments that need not read the data; messages name op and argument.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <cstdint>
#include <optional>

namespace infgrand {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// 16-bit types are stored as such and accumulated in float32.
inline ScalarType accumulate_type(const Tensor& x) {
  return x.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

inline bool is_floating(const Tensor& x) {
  const auto type = x.scalar_type();
  return type == ScalarType::Float || type == ScalarType::Double || type == ScalarType::BFloat16 ||
         type == ScalarType::Half;
}

inline void check_place(const char* op, const char* name, const Tensor& tensor, const Tensor& x) {
  STD_TORCH_CHECK(tensor.is_contiguous(), op, ": ", name, " must be contiguous");
  STD_TORCH_CHECK(tensor.device() == x.device(), op, ": ", name, " must be on the device of x");
}

// Column ids and, in the kernels, features are int32.
inline void check_extent(const char* op, const char* name, int64_t rows, int64_t features) {
  constexpr int64_t most = int64_t{1} << 31;
  STD_TORCH_CHECK(rows <= most, op, ": ", name, " must have at most 2^31 rows, found ", rows);
  STD_TORCH_CHECK(features < most, op, ": ", name, " must have fewer than 2^31 features, found ",
                  features);
}

inline void check_csr(const char* op, const Tensor& indptr, const Tensor& indices,
                      const Tensor& x) {
  STD_TORCH_CHECK(indptr.dim() == 1 && indptr.size(0) >= 1, op,
                  ": indptr must have shape [rows + 1]");
  STD_TORCH_CHECK(indptr.scalar_type() == ScalarType::Long, op, ": indptr must be int64");
  STD_TORCH_CHECK(indices.dim() == 1, op, ": indices must have one dimension");
  STD_TORCH_CHECK(indices.scalar_type() == ScalarType::Int, op, ": indices must be int32");
  check_place(op, "indptr", indptr, x);
  check_place(op, "indices", indices, x);
}

inline void check_matrix(const char* op, const Tensor& x) {
  STD_TORCH_CHECK(x.dim() == 2, op, ": x must have two dimensions, found ", x.dim());
  STD_TORCH_CHECK(is_floating(x), op, ": x must be float32, float64, bfloat16 or float16");
  STD_TORCH_CHECK(x.is_contiguous(), op, ": x must be contiguous");
}

inline void check_scale(const char* op, const char* name, const std::optional<Tensor>& scale,
                        int64_t length, const Tensor& x) {
  if (!scale.has_value()) return;
  STD_TORCH_CHECK(scale->dim() == 1 && scale->size(0) == length, op, ": ", name,
                  " must have shape [", length, "]");
  STD_TORCH_CHECK(scale->scalar_type() == accumulate_type(x), op, ": ", name,
                  " must be float64 where x is float64, otherwise float32");
  check_place(op, name, *scale, x);
}

inline void check_product(const char* op, const Tensor& indptr, const Tensor& indices,
                          const Tensor& x, const std::optional<Tensor>& row_scale,
                          const std::optional<Tensor>& col_scale,
                          const std::optional<Tensor>& values) {
  check_matrix(op, x);
  check_extent(op, "x", x.size(0), x.size(1));
  check_csr(op, indptr, indices, x);
  check_scale(op, "values", values, indices.size(0), x);
  check_scale(op, "row_scale", row_scale, indptr.size(0) - 1, x);
  check_scale(op, "col_scale", col_scale, x.size(0), x);
}

inline void check_schedule(const char* op, const std::optional<Tensor>& schedule,
                           const Tensor& indptr) {
  if (!schedule.has_value()) return;
  const int64_t rows = indptr.size(0) - 1;
  STD_TORCH_CHECK(schedule->dim() == 2 && schedule->size(1) == 2 &&
                      (schedule->size(0) == 0 || schedule->size(0) >= rows),
                  op, ": schedule must have shape [P + ", rows, ", 2] or [0, 2]");
  STD_TORCH_CHECK(schedule->scalar_type() == ScalarType::Long, op, ": schedule must be int64");
  check_place(op, "schedule", *schedule, indptr);
}

inline void check_edge_dot(const char* op, const Tensor& indptr, const Tensor& indices,
                           const Tensor& x, const Tensor& y) {
  check_matrix(op, x);
  STD_TORCH_CHECK(x.scalar_type() == ScalarType::Float || x.scalar_type() == ScalarType::Double, op,
                  ": x must be float32 or float64");
  check_csr(op, indptr, indices, x);
  STD_TORCH_CHECK(x.size(0) == indptr.size(0) - 1, op, ": x must have a row for each of the ",
                  indptr.size(0) - 1, " rows of indptr, found ", x.size(0));
  STD_TORCH_CHECK(y.dim() == 2 && y.size(1) == x.size(1), op, ": y must have shape [M, ", x.size(1),
                  "]");
  check_extent(op, "y", y.size(0), y.size(1));
  STD_TORCH_CHECK(y.scalar_type() == x.scalar_type(), op, ": y must have the dtype of x");
  check_place(op, "y", y, x);
}

// Calls f with a value of the type of x, float32 or float64.
template <typename F>
void for_float_or_double(const Tensor& x, const F& f) {
  if (x.scalar_type() == ScalarType::Double) f(double{});
  else f(float{});
}

inline void check_propagate(const char* op, const Tensor& indptr, const Tensor& indices,
                            const Tensor& x, const Tensor& scale, int64_t hops,
                            const std::optional<Tensor>& values,
                            const std::optional<Tensor>& mask) {
  check_matrix(op, x);
  check_extent(op, "x", x.size(0), x.size(1));
  check_csr(op, indptr, indices, x);
  STD_TORCH_CHECK(indptr.size(0) - 1 == x.size(0), op, ": x must have a row for each of the ",
                  indptr.size(0) - 1, " rows of indptr, found ", x.size(0));
  check_scale(op, "scale", scale, x.size(0), x);
  check_scale(op, "values", values, indices.size(0), x);
  check_scale(op, "mask", mask, x.size(0), x);
  STD_TORCH_CHECK(hops >= 1, op, ": hops must be positive, found ", hops);
}

}  // namespace infgrand
