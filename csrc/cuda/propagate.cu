#include "product.h"

namespace infgrand {
namespace {

constexpr int kThreads = 256;

template <typename T>
__global__ void mask_scale(Buffer<const T> scale, Buffer<const T> mask, Buffer<T> masked,
                           int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  masked[i] = scale[i] * mask[i];
  masked[count + i] = mask[i];
}

// The columns' scale of a masked product, [2 N]: x itself is read.
template <typename T>
Tensor masked_scale(const Tensor& scale, const Tensor& mask, const Launcher& launch) {
  const int64_t count = scale.size(0);
  const Tensor masked = torch::stable::new_empty(scale, {2 * count});
  if (count > 0)
    launch(mask_scale<T>, dim3(blocks(count, kThreads)), kThreads, reading<T>(scale),
           reading<T>(mask), writing<T>(masked), count);
  return masked;
}

Tensor propagate(const Tensor& indptr, const Tensor& indices, const Tensor& x, const Tensor& scale,
                 double self_weight, int64_t hops, std::string pooling,
                 const std::optional<Tensor>& values, const std::optional<Tensor>& mask,
                 const std::optional<Tensor>& schedule, const std::optional<Tensor>&,
                 const std::optional<Tensor>&, const std::optional<Tensor>&,
                 const std::optional<Tensor>&) {
  const char* op = "infgrand::propagate";
  check_propagate(op, indptr, indices, x, scale, hops, values, mask);
  check_schedule(op, schedule, indptr);
  const std::optional<Pooling> pool = parse_pooling(op, pooling);
  const Launcher launch(x);
  // Between hops 16-bit features are float32, as on the CPU, and rounded once.
  const ScalarType stored = x.scalar_type(), wide = accumulate_type(x);
  const Tensor start = stored == wide ? x : torch::stable::to(x, wide);
  const auto fresh = [&] { return torch::stable::new_empty(start, {x.size(0), x.size(1)}); };
  const Tensor result = fresh();
  std::optional<Tensor> buffers[2];
  if (hops > 1) buffers[0] = fresh();
  if (hops > 2) buffers[1] = stored == wide ? fresh() : start;
  // Every hop reads one buffer, writes the next and pools in passing; the last writes the result.
  for_float_or_double(start, [&](auto type) {
    using T = decltype(type);
    const Tensor first = mask ? masked_scale<T>(scale, *mask, launch) : scale;
    for (int64_t k = 0; k < hops; ++k) {
      const Tensor& source = k ? *buffers[(k - 1) % 2] : start;
      auto product = product_of<T>(indptr, indices, source, scale, k ? scale : first, values,
                                   self_weight, schedule);
      const bool last = k + 1 == hops;
      if (!last) product.y = writing<T>(*buffers[k % 2]);
      else if (!pool) product.y = writing<T>(result);
      if (pool) {
        product.pooled = writing<T>(result);
        product.pool_with = reading<T>(k ? result : start);
        product.pooling = *pool;
        if (last && pool == Pooling::kMean) product.factor = T(1) / static_cast<T>(hops + 1);
      }
      if (pool && mask && k == 0) multiply<true>(product, start, launch);
      else multiply(product, start, launch);
    }
  });
  return stored == wide ? result : torch::stable::to(result, stored);
}

}  // namespace
}  // namespace infgrand

INFGRAND_REGISTER(m) { m.impl("propagate", TORCH_BOX(&infgrand::propagate)); }
