// The attention of GAT, edge by edge, for the kernels of both devices.
//
// With s_ij = leaky_relu(source_j + target_i) per head, alpha_ij = exp(s_ij - normalizer_i), where
// normalizer_i is the logarithm of the softmax's denominator, and w_ij = alpha_ij after dropout:
//
//   y_i = sum_j w_ij x_j
//   dx_j = sum_i w_ij dy_i                                             (rows of the transposed CSR)
//   ds_ij = w_ij (dy_i . x_j) - alpha_ij delta_i,  delta_i = dy_i . y_i
//   dtarget_i = sum_j ds_ij leaky_relu'      dsource_j = sum_i ds_ij leaky_relu'
//
// Nothing of the size of the edges is kept: alpha comes again from the normalizer, and the mask of
// the dropout from a hash of (seed, i, j, head).
#pragma once

#include "checks.h"

#ifdef __CUDACC__
#define INFGRAND_BOTH __host__ __device__
#else
#define INFGRAND_BOTH
#endif

namespace infgrand {

template <typename T>
struct Dropout {
  uint64_t seed;
  uint64_t below;  // of 2^24 equally likely numbers, those below are dropped
  T kept;          // what remains is scaled by 1 / (1 - p)

  Dropout(double p, int64_t seed)
      : seed(static_cast<uint64_t>(seed)),
        below(static_cast<uint64_t>(p * (1 << 24))),
        kept(static_cast<T>(1 / (1 - p))) {}

  // The factor of head h of the edge from j to i: 0 or kept. (The finaliser of SplitMix64.)
  INFGRAND_BOTH T operator()(int64_t i, int64_t j, int64_t h, int64_t heads) const {
    if (below == 0) return T(1);
    const uint64_t edge = (static_cast<uint64_t>(i) << 32 | static_cast<uint64_t>(j)) * heads + h;
    uint64_t z = seed + (edge + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) >> 40 < below ? T(0) : kept;
  }
};

inline void check_heads(const char* op, const char* name, const Tensor& tensor, int64_t rows,
                        const Tensor& x) {
  STD_TORCH_CHECK(tensor.dim() == 2 && tensor.size(0) == rows && tensor.size(1) == x.size(1), op,
                  ": ", name, " must have shape [", rows, ", ", x.size(1), "]");
  STD_TORCH_CHECK(tensor.scalar_type() == x.scalar_type(), op, ": ", name,
                  " must have the dtype of x");
  check_place(op, name, tensor, x);
}

// x [M, heads, features], source [M, heads], target [rows, heads]
inline void check_attention(const char* op, const char* name, const Tensor& indptr,
                            const Tensor& indices, const Tensor& x, double dropout) {
  STD_TORCH_CHECK(x.dim() == 3, op, ": ", name, " must have three dimensions, found ", x.dim());
  STD_TORCH_CHECK(x.scalar_type() == ScalarType::Float || x.scalar_type() == ScalarType::Double, op,
                  ": ", name, " must be float32 or float64");
  STD_TORCH_CHECK(x.is_contiguous(), op, ": ", name, " must be contiguous");
  check_extent(op, name, x.size(0), x.size(1) * x.size(2));
  check_csr(op, indptr, indices, x);
  STD_TORCH_CHECK(dropout >= 0 && dropout < 1, op, ": dropout must lie in [0, 1), found ", dropout);
}

inline void check_aggregate(const char* op, const Tensor& indptr, const Tensor& indices,
                            const Tensor& x, const Tensor& source, const Tensor& target,
                            double dropout) {
  check_attention(op, "x", indptr, indices, x, dropout);
  check_heads(op, "source", source, x.size(0), x);
  check_heads(op, "target", target, indptr.size(0) - 1, x);
}

// Row r of the CSR has the features own_r and meets other_n: (dy, x), or transposed (x, dy).
inline void check_aggregate_backward(const char* op, const Tensor& indptr, const Tensor& indices,
                                     const Tensor& own, const Tensor& other, const Tensor& source,
                                     const Tensor& target, const Tensor& normalizer,
                                     const Tensor& delta, double dropout, bool transposed) {
  check_attention(op, "own", indptr, indices, own, dropout);
  check_attention(op, "other", indptr, indices, other, dropout);
  STD_TORCH_CHECK(own.size(0) == indptr.size(0) - 1, op, ": own must have a row for each of the ",
                  indptr.size(0) - 1, " rows of indptr, found ", own.size(0));
  STD_TORCH_CHECK(own.size(1) == other.size(1) && own.size(2) == other.size(2) &&
                      own.scalar_type() == other.scalar_type() && own.device() == other.device(),
                  op, ": own and other must have the same heads, features, dtype and device");
  const int64_t sources = (transposed ? own : other).size(0);
  const int64_t targets = (transposed ? other : own).size(0);
  check_heads(op, "source", source, sources, own);
  check_heads(op, "target", target, targets, own);
  check_heads(op, "normalizer", normalizer, targets, own);
  check_heads(op, "delta", delta, targets, own);
}

}  // namespace infgrand
