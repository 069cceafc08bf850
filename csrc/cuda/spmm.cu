#include "../checks.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/macros.h>
#include <torch/csrc/stable/ops.h>

#include <algorithm>

namespace infgrand {
namespace {

__device__ inline float widen(float v) { return v; }
__device__ inline double widen(double v) { return v; }
__device__ inline float widen(__half v) { return __half2float(v); }
__device__ inline float widen(__nv_bfloat16 v) { return __bfloat162float(v); }

__device__ inline void narrow(float v, float* p) { *p = v; }
__device__ inline void narrow(double v, double* p) { *p = v; }
__device__ inline void narrow(float v, __half* p) { *p = __float2half_rn(v); }
__device__ inline void narrow(float v, __nv_bfloat16* p) { *p = __float2bfloat16_rn(v); }

template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T value[kWidth];
};

template <typename T, typename Acc>
struct Problem {
  const int64_t* indptr;
  const int32_t* indices;
  const T* x;
  const Acc* row_scale;  // may be null
  const Acc* col_scale;  // may be null
  Acc self_weight;
  T* y;
  int64_t num_rows;
  int64_t features;
  int64_t self_rows;  // rows i < self_rows have a row i in x, hence a self term
};

constexpr int kThreads = 256;
constexpr int kUnroll = 4;  // neighbours in flight

// kGroup threads own a row; each holds kWidth neighbouring features, loaded at once.
template <typename T, typename Acc, int kWidth, int kGroup>
__global__ void __launch_bounds__(kThreads) spmm_kernel(Problem<T, Acc> p) {
  using Vector = Pack<T, kWidth>;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (kThreads / kGroup) + threadIdx.x / kGroup;
  const int64_t d =
      (static_cast<int64_t>(blockIdx.y) * kGroup + threadIdx.x % kGroup) * kWidth;
  if (row >= p.num_rows || d >= p.features) return;

  Acc acc[kWidth] = {};
  const auto add = [&](const Vector& source, Acc weight) {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) acc[k] += weight * widen(source.value[k]);
  };
  const auto source = [&](int64_t j) {
    return *reinterpret_cast<const Vector*>(p.x + j * p.features + d);
  };
  const auto weight = [&](int64_t j) { return p.col_scale ? p.col_scale[j] : Acc(1); };

  const int64_t end = p.indptr[row + 1];
  int64_t e = p.indptr[row];
  for (; e + kUnroll <= end; e += kUnroll) {
    Vector sources[kUnroll];
    Acc weights[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int64_t j = p.indices[e + u];
      sources[u] = source(j);
      weights[u] = weight(j);
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) add(sources[u], weights[u]);
  }
  for (; e < end; ++e) add(source(p.indices[e]), weight(p.indices[e]));
  if (p.self_weight != Acc(0) && row < p.self_rows) add(source(row), p.self_weight * weight(row));

  const Acc scale = p.row_scale ? p.row_scale[row] : Acc(1);
  Vector result;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) narrow(scale * acc[k], &result.value[k]);
  *reinterpret_cast<Vector*>(p.y + row * p.features + d) = result;
}

template <typename T, typename Acc, int kWidth>
void launch(const Problem<T, Acc>& p, cudaStream_t stream) {
  const int64_t lanes = (p.features + kWidth - 1) / kWidth;
  const auto run = [&](auto group) {
    constexpr int kGroup = decltype(group)::value;
    const int64_t rows_per_block = kThreads / kGroup;
    const dim3 grid(static_cast<unsigned>((p.num_rows + rows_per_block - 1) / rows_per_block),
                    static_cast<unsigned>((lanes + kGroup - 1) / kGroup));
    spmm_kernel<T, Acc, kWidth, kGroup><<<grid, kThreads, 0, stream>>>(p);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  };
  if (lanes > 16) run(std::integral_constant<int, 32>{});
  else if (lanes > 8) run(std::integral_constant<int, 16>{});
  else if (lanes > 4) run(std::integral_constant<int, 8>{});
  else run(std::integral_constant<int, 4>{});
}

template <typename T, typename Acc>
void compute(const Tensor& indptr, const Tensor& indices, const Tensor& x,
             const std::optional<Tensor>& row_scale, const std::optional<Tensor>& col_scale,
             double self_weight, Tensor& y, cudaStream_t stream) {
  const auto data = [](const std::optional<Tensor>& t) {
    return t.has_value() ? static_cast<const Acc*>(t->const_data_ptr()) : nullptr;
  };
  const Problem<T, Acc> p{static_cast<const int64_t*>(indptr.const_data_ptr()),
                          static_cast<const int32_t*>(indices.const_data_ptr()),
                          static_cast<const T*>(x.const_data_ptr()),
                          data(row_scale),
                          data(col_scale),
                          static_cast<Acc>(self_weight),
                          static_cast<T*>(y.mutable_data_ptr()),
                          y.size(0),
                          x.size(1),
                          x.size(0)};
  if (p.num_rows == 0 || p.features == 0) return;
  // The widest load, at most 16 bytes, that every row of x and y starts aligned to.
  const auto aligned = [&](int64_t width) {
    const size_t bytes = width * sizeof(T);
    return p.features % width == 0 && reinterpret_cast<size_t>(p.x) % bytes == 0 &&
           reinterpret_cast<size_t>(p.y) % bytes == 0;
  };
  constexpr int kWidest = 16 / sizeof(T);
  if (aligned(kWidest)) launch<T, Acc, kWidest>(p, stream);
  else if (aligned(2)) launch<T, Acc, 2>(p, stream);
  else launch<T, Acc, 1>(p, stream);
}

Tensor spmm_cuda(const Tensor& indptr, const Tensor& indices, const Tensor& x,
                 const std::optional<Tensor>& row_scale, const std::optional<Tensor>& col_scale,
                 double self_weight, const std::optional<Tensor>&, const std::optional<Tensor>&) {
  const char* op = "infgrand::spmm";
  check_matrix(op, x);
  check_csr(op, indptr, indices, x);
  check_scale(op, "row_scale", row_scale, indptr.size(0) - 1, x);
  check_scale(op, "col_scale", col_scale, x.size(0), x);
  const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device_index(), &stream));
  Tensor y = torch::stable::new_empty(x, {indptr.size(0) - 1, x.size(1)});
  const auto call = [&](auto type, auto acc) {
    compute<decltype(type), decltype(acc)>(indptr, indices, x, row_scale, col_scale, self_weight, y,
                                           static_cast<cudaStream_t>(stream));
  };
  switch (x.scalar_type()) {
    case ScalarType::Double: call(double{}, double{}); break;
    case ScalarType::BFloat16: call(__nv_bfloat16{}, float{}); break;
    case ScalarType::Half: call(__half{}, float{}); break;
    default: call(float{}, float{});
  }
  return y;
}

}  // namespace
}  // namespace infgrand

STABLE_TORCH_LIBRARY_IMPL(infgrand, CUDA, m) { m.impl("spmm", TORCH_BOX(&infgrand::spmm_cuda)); }
