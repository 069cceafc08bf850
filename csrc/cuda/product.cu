#include "product.h"

#include <cmath>

namespace infgrand {
namespace {

constexpr int kThreads = 256;
constexpr int kUnroll = 4;  // neighbours in flight
constexpr int64_t kLong = 1024;  // edges; a longer row is summed piece by piece

template <typename T, int kWidth>
struct Sum {
  Acc<T> value[kWidth] = {};

  __device__ void add(const Pack<T, kWidth>& source, Acc<T> weight) {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) value[k] += weight * widen(source.value[k]);
  }
};

// Adds features [d, d + kWidth) of the neighbours at [begin, end). A column that does not exist
// is not read: it makes the sum NaN.
template <int kWidth, typename T>
__device__ void gather(const Product<T>& p, int64_t begin, int64_t end, int64_t d,
                       Sum<T, kWidth>& sum) {
  for (int64_t e = begin; e < end; e += kUnroll) {
    Pack<T, kWidth> sources[kUnroll];
    Acc<T> weights[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (e + u >= end) break;
      const int64_t j = p.indices[e + u];
      const bool exists = j >= 0 && j < p.num_cols;
      sources[u] = exists ? load<kWidth>(p.x, j * p.features + d) : Pack<T, kWidth>{};
      weights[u] = !exists ? Acc<T>(NAN) : p.col_scale.data ? p.col_scale[j] : Acc<T>(1);
      if (p.values.data) weights[u] *= p.values[e + u];
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (e + u >= end) break;
      sum.add(sources[u], weights[u]);
    }
  }
}

// The self term and the scale, then the store, pooled or not.
template <int kWidth, typename T>
__device__ void finish(const Product<T>& p, int64_t row, int64_t d, Sum<T, kWidth>& sum) {
  if (p.self_weight != Acc<T>(0) && row < p.num_cols)
    sum.add(load<kWidth>(p.x, row * p.features + d),
            p.self_weight * (p.col_scale.data ? p.col_scale[row] : Acc<T>(1)));
  const Acc<T> scale = p.row_scale.data ? p.row_scale[row] : Acc<T>(1);
  const int64_t at = row * p.features + d;
  Pack<T, kWidth> result;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) narrow(sum.value[k] *= scale, &result.value[k]);
  if (p.y.data) store<kWidth>(p.y, at, result);
  if (!p.pooled.data) return;
  const Pack<T, kWidth> other = load<kWidth>(p.pool_with, at);
#pragma unroll
  for (int k = 0; k < kWidth; ++k) {
    const Acc<T> a = sum.value[k], b = widen(other.value[k]);
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
  int64_t item, d;

  __device__ Place()
      : item(static_cast<int64_t>(blockIdx.x) * (kThreads / kGroup) + threadIdx.x / kGroup),
        d((static_cast<int64_t>(blockIdx.y) * kGroup + threadIdx.x % kGroup) * kWidth) {}
};

template <typename T, int kWidth, int kGroup>
__global__ void __launch_bounds__(kThreads) short_rows(Product<T> p) {
  const Place<kWidth, kGroup> place;
  if (place.item >= p.pointer.num_rows || place.d >= p.features) return;
  const int64_t begin = p.pointer(place.item), end = p.pointer(place.item + 1);
  if (end - begin > kLong) return;
  Sum<T, kWidth> sum;
  gather<kWidth>(p, begin, end, place.d, sum);
  finish<kWidth>(p, place.item, place.d, sum);
}

// Pieces of kLong edges meet at most two long rows: one that goes on from the piece before, and
// one that begins here and goes on into the next. Their partial sums lie in slots 0 and 1 of the
// piece, and are added in order by the piece where the row begins: no atomics, the same bits
// every time.
template <typename T>
struct Piece {
  int64_t begin, end;   // edges
  int64_t row[2];       // the long row of slot 0 and 1, or -1

  __device__ Piece(const Product<T>& p, int64_t piece)
      : begin(piece * kLong),
        end(begin + kLong < p.pointer.num_edges ? begin + kLong : p.pointer.num_edges),
        row{p.pointer.row_of(begin), p.pointer.row_of(end - 1)} {
    if (p.pointer(row[0]) == begin || !is_long(p, row[0])) row[0] = -1;
    if (p.pointer(row[1]) < begin || !is_long(p, row[1])) row[1] = -1;
  }

  __device__ static bool is_long(const Product<T>& p, int64_t row) {
    return p.pointer(row + 1) - p.pointer(row) > kLong;
  }
};

template <typename T, int kWidth, int kGroup>
__global__ void __launch_bounds__(kThreads) sum_pieces(Product<T> p, Buffer<Acc<T>> partial) {
  const Place<kWidth, kGroup> place;
  if (place.item * kLong >= p.pointer.num_edges || place.d >= p.features) return;
  const Piece<T> piece(p, place.item);
  for (int slot = 0; slot < 2; ++slot) {
    const int64_t row = piece.row[slot];
    if (row < 0) continue;
    const int64_t first = p.pointer(row), last = p.pointer(row + 1);
    Sum<T, kWidth> sum;
    gather<kWidth>(p, first > piece.begin ? first : piece.begin,
                   last < piece.end ? last : piece.end, place.d, sum);
    for (int k = 0; k < kWidth; ++k)
      partial[(2 * place.item + slot) * p.features + place.d + k] = sum.value[k];
  }
}

template <typename T, int kWidth, int kGroup>
__global__ void __launch_bounds__(kThreads) add_pieces(Product<T> p, Buffer<Acc<T>> partial) {
  const Place<kWidth, kGroup> place;
  if (place.item * kLong >= p.pointer.num_edges || place.d >= p.features) return;
  const Piece<T> piece(p, place.item);
  const int64_t row = piece.row[1];
  if (row < 0) return;
  Sum<T, kWidth> sum;
  const int64_t last = (p.pointer(row + 1) - 1) / kLong;
  for (int64_t item = place.item; item <= last; ++item) {
    const int64_t slot = item == place.item;
    for (int k = 0; k < kWidth; ++k)
      sum.value[k] += partial[(2 * item + slot) * p.features + place.d + k];
  }
  finish<kWidth>(p, row, place.d, sum);
}

template <typename T, int kWidth, int kGroup>
void run(const Product<T>& p, const Tensor& like, const Launcher& launch) {
  constexpr int kItems = kThreads / kGroup;
  const unsigned tiles = blocks(p.features, kGroup * kWidth);
  launch(short_rows<T, kWidth, kGroup>, dim3(blocks(p.pointer.num_rows, kItems), tiles), kThreads, p);
  if (p.pointer.num_edges <= kLong) return;
  const int64_t pieces = (p.pointer.num_edges + kLong - 1) / kLong;
  const int64_t shape[] = {pieces, 2, p.features};
  const Tensor workspace = torch::stable::new_empty(like, shape, accumulate_type(like));
  const Buffer<Acc<T>> partial = writing<Acc<T>>(workspace);
  const dim3 grid(blocks(pieces, kItems), tiles);
  launch(sum_pieces<T, kWidth, kGroup>, grid, kThreads, p, partial);
  launch(add_pieces<T, kWidth, kGroup>, grid, kThreads, p, partial);
}

template <typename T, int kWidth>
void choose_group(const Product<T>& p, const Tensor& like, const Launcher& launch) {
  const int64_t lanes = (p.features + kWidth - 1) / kWidth;
  if (lanes > 16) run<T, kWidth, 32>(p, like, launch);
  else if (lanes > 8) run<T, kWidth, 16>(p, like, launch);
  else if (lanes > 4) run<T, kWidth, 8>(p, like, launch);
  else run<T, kWidth, 4>(p, like, launch);
}

}  // namespace

template <typename T>
void multiply(const Product<T>& p, const Tensor& like, const Launcher& launch) {
  if (p.pointer.num_rows == 0 || p.features == 0) return;
  // The widest load, at most 16 bytes, that every row starts aligned to.
  const auto aligned = [&](int64_t width) {
    const auto starts = [&](const T* data) {
      return reinterpret_cast<size_t>(data) % (width * sizeof(T)) == 0;
    };
    return p.features % width == 0 && starts(p.x.data) && starts(p.y.data) &&
           starts(p.pooled.data) && starts(p.pool_with.data);
  };
  constexpr int kWidest = 16 / sizeof(T);
  if (aligned(kWidest)) choose_group<T, kWidest>(p, like, launch);
  else if (aligned(2)) choose_group<T, 2>(p, like, launch);
  else choose_group<T, 1>(p, like, launch);
}

template void multiply(const Product<float>&, const Tensor&, const Launcher&);
template void multiply(const Product<double>&, const Tensor&, const Launcher&);
template void multiply(const Product<__half>&, const Tensor&, const Launcher&);
template void multiply(const Product<__nv_bfloat16>&, const Tensor&, const Launcher&);

}  // namespace infgrand
