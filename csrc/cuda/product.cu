#include "product.h"

#include <cmath>

namespace infgrand {
namespace {

constexpr int kThreads = 32;  // a warp that has finished waits for no other

// Neighbours in flight: 64 bytes of registers and more, with which enough warps are resident.
template <typename T>
constexpr int kUnroll = sizeof(T) == 2 ? 4 : 8;

// What a thread reads of a row, as one word: nvcc would unpack 16-bit elements while it waits.
template <typename T, int kWidth>
using Row = Word<sizeof(T) * kWidth>;

template <int kWidth, typename T>
__device__ Row<T, kWidth> row(const Buffer<const T>& x, int64_t i) {
  return *reinterpret_cast<const Row<T, kWidth>*>(x.at(i, kWidth));
}

template <typename T, int kWidth>
struct Sum {
  Acc<T> value[kWidth] = {};

  __device__ void add(const Row<T, kWidth>& source, Acc<T> weight) {
    Pack<T, kWidth> pack;
    memcpy(&pack, &source, sizeof pack);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) value[k] += weight * widen(pack.value[k]);
  }
};

// Adds features [d, d + kWidth) of the neighbours at [begin, end). A column that does not exist
// is not read: it makes the sum NaN.
//
// A row of x comes from far away, and so do its id and its scale. All loads of one kind are asked
// for before the first use of any, and the ids of the next neighbours together with the rows of
// these: kMany rows are on their way at any time.
template <int kWidth, typename T>
__device__ void gather(const Product<T>& p, int64_t begin, int64_t end, int d,
                       Sum<T, kWidth>& sum) {
  constexpr int kMany = kUnroll<T>;
  const Buffer<const T> x = p.x.from(d);
  int32_t columns[kMany];
  int many;
  const auto ask = [&](int64_t e) {
    const int64_t left = end - e;
    many = left < 0 ? 0 : left < kMany ? static_cast<int>(left) : kMany;
    const Buffer<const int32_t> ids = p.indices.from(e);
#pragma unroll
    for (int u = 0; u < kMany; ++u) columns[u] = u < many ? ids[u] : -1;
  };
  ask(begin);
  for (int64_t e = begin; e < end; e += kMany) {
    Row<T, kWidth> sources[kMany];
    Acc<T> weights[kMany], values[kMany];
#pragma unroll
    for (int u = 0; u < kMany; ++u) {
      const int32_t j = columns[u];
      const bool exists = static_cast<uint32_t>(j) < p.num_cols;
      sources[u] = {};
      if (exists) sources[u] = row<kWidth>(x, static_cast<int64_t>(j) * p.features);
      weights[u] = exists ? Acc<T>(1) : u < many ? Acc<T>(NAN) : Acc<T>(0);
      if (exists && p.col_scale.data) weights[u] = p.col_scale[j];
      values[u] = Acc<T>(1);
      if (u < many && p.values.data) values[u] = p.values[e + u];
    }
    ask(e + kMany);
#pragma unroll
    for (int u = 0; u < kMany; ++u) sum.add(sources[u], weights[u] * values[u]);
  }
}

template <typename T>
__device__ Acc<T> scale_of(const Product<T>& p, int64_t row) {
  return p.row_scale.data ? p.row_scale[row] : Acc<T>(1);
}

// The self term and the scale, then the store, pooled or not.
template <bool kMasked, int kWidth, typename T>
__device__ void finish(const Product<T>& p, int64_t i, int d, Acc<T> scale, Sum<T, kWidth>& sum) {
  if (p.self_weight != Acc<T>(0) && i < p.num_cols)
    sum.add(row<kWidth>(p.x, i * p.features + d),
            p.self_weight * (p.col_scale.data ? p.col_scale[i] : Acc<T>(1)));
  const int64_t at = i * p.features + d;
  Pack<T, kWidth> result;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) narrow(sum.value[k] *= scale, &result.value[k]);
  if (p.y.data) store<kWidth>(p.y, at, result);
  if (!p.pooled.data) return;
  const Pack<T, kWidth> other = load<kWidth>(p.pool_with, at);
  const Acc<T> m = kMasked ? p.col_scale[p.num_cols + i] : Acc<T>(1);
#pragma unroll
  for (int k = 0; k < kWidth; ++k) {
    const Acc<T> a = sum.value[k], b = kMasked ? m * widen(other.value[k]) : widen(other.value[k]);
    const Acc<T> pool = p.pooling == Pooling::kMean  ? p.factor * (a + b)
                        : p.pooling == Pooling::kMax ? (a > b ? a : b)
                                                     : (a < b ? a : b);
    narrow(pool, &result.value[k]);
  }
  store<kWidth>(p.pooled, at, result);
}

// kGroup threads own a row, or a piece of one; each holds kWidth neighbouring features.
template <int kWidth, int kGroup>
struct Place {
  int64_t item;
  int d;

  __device__ Place()
      : item(static_cast<int64_t>(blockIdx.x) * (kThreads / kGroup) + threadIdx.x / kGroup),
        d(static_cast<int>(blockIdx.y * kGroup + threadIdx.x % kGroup) * kWidth) {}
};

// The pieces of long rows, then every row that is not cut.
template <bool kMasked, typename T, int kWidth, int kGroup>
__global__ void __launch_bounds__(kThreads) sum_rows(Product<T> p, Buffer<Acc<T>> partial) {
  const Place<kWidth, kGroup> place;
  if (place.d >= p.features) return;
  Sum<T, kWidth> sum;
  if (place.item < p.schedule.count) {
    const Item piece = p.schedule.piece(place.item);
    gather<kWidth>(p, piece.begin, piece.end, place.d, sum);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) partial[place.item * p.features + place.d + k] = sum.value[k];
    return;
  }
  const Item row = p.schedule.row(place.item - p.schedule.count);
  if (row.row < 0 || p.schedule.cut(row)) return;
  const Acc<T> scale = scale_of(p, row.row);  // on its way beside the neighbours
  gather<kWidth>(p, row.begin, row.end, place.d, sum);
  finish<kMasked, kWidth>(p, row.row, place.d, scale, sum);
}

template <bool kMasked, typename T, int kWidth, int kGroup>
__global__ void __launch_bounds__(kThreads) add_pieces(Product<T> p, Buffer<const Acc<T>> partial) {
  const Place<kWidth, kGroup> place;
  if (place.item >= p.schedule.count || place.d >= p.features) return;
  const int64_t many = p.schedule.following(place.item);
  if (many == 0) return;
  Sum<T, kWidth> sum;
#pragma unroll 8
  for (int64_t n = 0; n < many; ++n) {
    const auto part = load<kWidth>(partial, (place.item + n) * p.features + place.d);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) sum.value[k] += part.value[k];
  }
  const int64_t row = p.schedule.piece(place.item).row;
  finish<kMasked, kWidth>(p, row, place.d, scale_of(p, row), sum);
}

template <bool kMasked, typename T, int kWidth, int kGroup>
void run(const Product<T>& p, const Tensor& like, const Launcher& launch) {
  constexpr int kItems = kThreads / kGroup;
  const unsigned tiles = blocks(p.features, kGroup * kWidth);
  const int64_t cut = p.schedule.count, items = cut + p.schedule.pointer.num_rows;
  const int64_t shape[] = {cut, p.features};
  const Tensor partial = torch::stable::new_empty(like, shape, accumulate_type(like));
  launch(sum_rows<kMasked, T, kWidth, kGroup>, dim3(blocks(items, kItems), tiles), kThreads, p,
         writing<Acc<T>>(partial));
  if (cut > 0)
    launch(add_pieces<kMasked, T, kWidth, kGroup>, dim3(blocks(cut, kItems), tiles), kThreads, p,
           reading<Acc<T>>(partial));
}

// As many threads as a row has loads, a warp at most. Half a warp, and more passes over the
// neighbours, where what a pass reads of x stays in the second-level cache.
template <bool kMasked, typename T, int kWidth>
void choose_group(const Product<T>& p, const Tensor& like, const Launcher& launch) {
  const int64_t lanes = (p.features + kWidth - 1) / kWidth;
  const int64_t slab = int64_t{p.num_cols} * 16 * kWidth * sizeof(T);
  if (lanes > 16 && slab > launch.cache_bytes) run<kMasked, T, kWidth, 32>(p, like, launch);
  else if (lanes > 8) run<kMasked, T, kWidth, 16>(p, like, launch);
  else if (lanes > 4) run<kMasked, T, kWidth, 8>(p, like, launch);
  else run<kMasked, T, kWidth, 4>(p, like, launch);
}

}  // namespace

template <bool kMasked, typename T>
void multiply(const Product<T>& p, const Tensor& like, const Launcher& launch) {
  if (p.schedule.pointer.num_rows == 0 || p.features == 0) return;
  // The widest load, at most 16 bytes, that every row starts aligned to.
  const auto aligned = [&](int64_t width) {
    const auto starts = [&](const T* data) {
      return reinterpret_cast<size_t>(data) % (width * sizeof(T)) == 0;
    };
    return p.features % width == 0 && starts(p.x.data) && starts(p.y.data) &&
           starts(p.pooled.data) && starts(p.pool_with.data);
  };
  constexpr int kWidest = 16 / sizeof(T);
  if (aligned(kWidest)) return choose_group<kMasked, T, kWidest>(p, like, launch);
  if constexpr (kWidest > 4)
    if (aligned(4)) return choose_group<kMasked, T, 4>(p, like, launch);
  if (aligned(2)) choose_group<kMasked, T, 2>(p, like, launch);
  else choose_group<kMasked, T, 1>(p, like, launch);
}

template void multiply(const Product<float>&, const Tensor&, const Launcher&);
template void multiply(const Product<double>&, const Tensor&, const Launcher&);
template void multiply<true>(const Product<float>&, const Tensor&, const Launcher&);
template void multiply<true>(const Product<double>&, const Tensor&, const Launcher&);
template void multiply(const Product<__half>&, const Tensor&, const Launcher&);
template void multiply(const Product<__nv_bfloat16>&, const Tensor&, const Launcher&);

}  // namespace infgrand
