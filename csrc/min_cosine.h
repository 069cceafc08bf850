// What both devices ask of the operands of nearest_axis and min_over_cones.
#pragma once

#include "checks.h"

namespace infgrand {

constexpr int64_t kDirections = 15;  // of the second bound (ops/cones.py)

inline void check_rows_like(const char* op, const char* name, const Tensor& rows, const Tensor& x) {
  STD_TORCH_CHECK(rows.dim() == 2 && rows.size(0) > 0 && rows.size(1) == x.size(1), op, ": ", name,
                  " must have shape [at least 1, ", x.size(1), "]");
  STD_TORCH_CHECK(rows.scalar_type() == x.scalar_type(), op, ": ", name,
                  " must have the dtype of x");
  check_place(op, name, rows, x);
}

inline void check_nearest_axis(const char* op, const Tensor& x, const Tensor& axes) {
  check_matrix(op, x);
  STD_TORCH_CHECK(x.scalar_type() == accumulate_type(x), op, ": x must be float32 or float64");
  check_rows_like(op, "axes", axes, x);
}

inline void check_min_over_cones(const char* op, const Tensor& indptr, const Tensor& indices,
                                 const Tensor& x, const Tensor& y, const Tensor& axes,
                                 const Tensor& limits, const std::optional<Tensor>& directions) {
  check_nearest_axis(op, x, axes);
  check_rows_like(op, "y", y, x);
  if (directions.has_value()) {
    check_rows_like(op, "directions", *directions, x);
    STD_TORCH_CHECK(directions->size(0) == kDirections, op, ": directions must have ", kDirections,
                    " rows");
  }
  check_csr(op, indptr, indices, x);
  STD_TORCH_CHECK(indptr.size(0) == axes.size(0) + 1, op, ": indptr must have shape [",
                  axes.size(0) + 1, "]");
  check_scale(op, "limits", limits, indices.size(0), x);
}

}  // namespace infgrand
