// What the kernels need of CUDA. Under INFGRAND_EMULATED (tests/emulation) the same kernels compile
// as host C++ and register as the CPU's, so that they are tested where no GPU is.
#pragma once

#include "../checks.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#ifdef INFGRAND_EMULATED
#include "emulation.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>
#include <torch/headeronly/util/shim_utils.h>

#define INFGRAND_REGISTER(m) STABLE_TORCH_LIBRARY_IMPL(infgrand, CUDA, m)

namespace infgrand {

// The elements of a tensor; the emulation checks every index.
template <typename T>
struct Buffer {
  T* data;
  __host__ __device__ Buffer(T* data, int64_t) : data(data) {}
  __device__ T& operator[](int64_t i) const { return data[i]; }
  __device__ T* at(int64_t i, int64_t) const { return data + i; }
  __device__ Buffer from(int64_t i) const { return {data + i, 0}; }
};

// Makes the device of a tensor and its current stream those of the launches that follow.
struct Launcher {
  torch::stable::accelerator::DeviceGuard guard;
  cudaStream_t stream;
  int cache_bytes = 0;  // of the second level

  explicit Launcher(const Tensor& x) : guard(x.get_device_index()) {
    void* current = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(x.get_device_index(), &current));
    stream = static_cast<cudaStream_t>(current);
    STD_CUDA_CHECK(
        cudaDeviceGetAttribute(&cache_bytes, cudaDevAttrL2CacheSize, x.get_device_index()));
  }

  template <typename... Parameters>
  void operator()(void (*kernel)(Parameters...), dim3 grid, int threads,
                  Parameters... given) const {
    kernel<<<grid, threads, 0, stream>>>(given...);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  }
};

}  // namespace infgrand
#endif

namespace infgrand {

// Stored types, and what they are accumulated in.
__device__ inline float widen(float v) { return v; }
__device__ inline double widen(double v) { return v; }
__device__ inline float widen(__half v) { return __half2float(v); }
__device__ inline float widen(__nv_bfloat16 v) { return __bfloat162float(v); }

__device__ inline void narrow(float v, float* p) { *p = v; }
__device__ inline void narrow(double v, double* p) { *p = v; }
__device__ inline void narrow(float v, __half* p) { *p = __float2half_rn(v); }
__device__ inline void narrow(float v, __nv_bfloat16* p) { *p = __float2bfloat16_rn(v); }

template <typename T>
using Acc = std::conditional_t<std::is_same_v<T, double>, double, float>;

// kWidth neighbouring elements, moved at once.
template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T value[kWidth];
};

// The largest word, of up to 16 bytes, that a Pack is made of.
template <size_t kSize>
using Word =
    std::conditional_t<kSize % 16 == 0, uint4,
                       std::conditional_t<kSize % 8 == 0, uint2,
                                          std::conditional_t<kSize % 4 == 0, uint32_t, uint16_t>>>;

template <int kWidth, typename T>
__device__ Pack<T, kWidth> load(const Buffer<const T>& buffer, int64_t i) {
  return *reinterpret_cast<const Pack<T, kWidth>*>(buffer.at(i, kWidth));
}
// Word by word (nvcc splits the store of a Pack into its elements), and such that what is not read
// again soon leaves the cache to what is.
template <int kWidth, typename T>
__device__ void store(const Buffer<T>& buffer, int64_t i, const Pack<T, kWidth>& pack) {
  using W = Word<sizeof pack>;
  W words[sizeof pack / sizeof(W)];
  memcpy(words, &pack, sizeof pack);
  W* const to = reinterpret_cast<W*>(buffer.at(i, kWidth));
#pragma unroll
  for (size_t w = 0; w < sizeof pack / sizeof(W); ++w) __stcs(to + w, words[w]);
}

template <typename T>
Buffer<const T> reading(const Tensor& tensor) {
  return {static_cast<const T*>(tensor.const_data_ptr()), tensor.numel()};
}
template <typename T>
Buffer<T> writing(const Tensor& tensor) {
  return {static_cast<T*>(tensor.mutable_data_ptr()), tensor.numel()};
}
template <typename T>
Buffer<const T> reading(const std::optional<Tensor>& tensor) {
  return tensor.has_value() ? reading<T>(*tensor) : Buffer<const T>(nullptr, 0);
}

// Calls f with a value of the storage type of x.
template <typename F>
void for_type(const Tensor& x, const F& f) {
  switch (x.scalar_type()) {
    case ScalarType::Double: return f(double{});
    case ScalarType::BFloat16: return f(__nv_bfloat16{});
    case ScalarType::Half: return f(__half{});
    default: return f(float{});
  }
}

inline unsigned blocks(int64_t items, int64_t per_block) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}

}  // namespace infgrand
