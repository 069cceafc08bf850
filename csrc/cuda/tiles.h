// Tiles of inner products whose operands pass through shared memory, for the two passes over all
// rows that the minimum cosine needs (influence/minimum.py says why).
#pragma once

#include "../min_cosine.h"
#include "warp.h"

#ifndef INFGRAND_EMULATED
#include <cuda_pipeline_primitives.h>
#endif

namespace infgrand {

constexpr int kTile = 64;  // rows of either side of a tile

template <typename T>
struct Rows {
  Buffer<const T> data;
  int64_t count, features;
  bool aligned;  // to 16 bytes, each of them
};

template <typename T>
Rows<T> rows_of(const Tensor& x) {
  const auto start = reinterpret_cast<size_t>(x.const_data_ptr());
  return {reading<T>(x), x.size(0), x.size(1), start % 16 == 0 && x.size(1) * sizeof(T) % 16 == 0};
}

// How the threads of a block share a tile: each has kEach rows and columns, which lie apart so that
// a warp reads 8 neighbouring rows, or 4 columns, from different banks.
template <typename T>
struct Tile {
  static constexpr int kEach = 32 / sizeof(T);
  static constexpr int kThreads = kTile / kEach * kTile / kEach;
  static constexpr int kChunk = 16 / sizeof(T);        // features that are moved at once
  static constexpr int kDepth = 4 * kChunk;            // features in shared memory at once
  static constexpr int kStride = kDepth + kChunk;      // of rows there: an odd number of chunks
  static constexpr int kAcross = kTile / (4 * kEach);  // warps side by side
  static constexpr int kDown = kTile / (8 * kEach);
  static constexpr int kBlocks = sizeof(T) == 4 ? 7 : 2;  // that a multiprocessor should hold

  // Lanes that differ in bit 0 share a row, those that differ in bit 1 a column: such loads of 16
  // bytes are served for half a warp at once.
  __device__ static int row(int a) {
    return (lane_id() >> 1 & 7) + 8 * (warp() / kAcross + kDown * a);
  }
  __device__ static int column(int b) {
    return ((lane_id() & 1) | (lane_id() >> 3 & 2)) + 4 * (warp() % kAcross + kAcross * b);
  }
  __device__ static int warp() { return threadIdx.x / kWarp; }

  using Slice = T[kTile][kStride];
  struct Operands {
    alignas(16) Slice x[2], y[2];  // the slice in use, and the next one
  };
  using Dots = T[kEach][kEach];
  using Ids = int64_t[kTile];
};

// Asks for features [first, first + kDepth) of rows, kCount at a time. A row id of -1 makes zeros.
template <int kCount, typename T>
__device__ void fetch(const Rows<T>& rows, const int64_t (&ids)[kTile], int64_t first,
                      typename Tile<T>::Slice& to) {
  constexpr int kThreads = Tile<T>::kThreads, kAcross = Tile<T>::kDepth / kCount;
  constexpr size_t kSize = kCount * sizeof(T);
  const int d = threadIdx.x % kAcross * kCount, begin = threadIdx.x / kAcross;
  const bool inside = first + d < rows.features;
#pragma unroll 4
  for (int n = 0; n < kTile; n += kThreads / kAcross) {
    const int64_t id = ids[begin + n];
    const bool exists = inside && id >= 0;
    const int64_t at = exists ? id * rows.features + first + d : 0;
    __pipeline_memcpy_async(&to[begin + n][d], rows.data.at(at, kCount), kSize, exists ? 0 : kSize);
  }
}

// Adds the products of the first kRows of a thread's rows along `depth` features.
template <int kRows, typename T>
__device__ void add_products(const typename Tile<T>::Slice& x, const typename Tile<T>::Slice& y,
                             int depth, T (&dots)[Tile<T>::kEach][Tile<T>::kEach]) {
  constexpr int kEach = Tile<T>::kEach, kChunk = Tile<T>::kChunk;
  using Chunk = Pack<T, kChunk>;
#pragma unroll 1
  for (int d = 0; d < depth; d += kChunk) {
    Chunk columns[kEach];
#pragma unroll
    for (int b = 0; b < kEach; ++b)
      columns[b] = *reinterpret_cast<const Chunk*>(&y[Tile<T>::column(b)][d]);
#pragma unroll
    for (int a = 0; a < kRows; ++a) {
      const Chunk row = *reinterpret_cast<const Chunk*>(&x[Tile<T>::row(a)][d]);
#pragma unroll
      for (int n = 0; n < kChunk; ++n)
#pragma unroll
        for (int b = 0; b < kEach; ++b) dots[a][b] += row.value[n] * columns[b].value[n];
    }
  }
}

// The products of the first `count` rows of a tile with all its columns: dots[a][b] is that of row
// Tile::row(a) with column Tile::column(b). All threads of the block take part, and the ids may
// change once they are back.
template <typename T>
__device__ void products(const Rows<T>& x, const int64_t (&x_ids)[kTile], int count,
                         const Rows<T>& y, const int64_t (&y_ids)[kTile],
                         typename Tile<T>::Operands& held,
                         T (&dots)[Tile<T>::kEach][Tile<T>::kEach]) {
  constexpr int kEach = Tile<T>::kEach, kDepth = Tile<T>::kDepth;
#pragma unroll
  for (int a = 0; a < kEach; ++a)
#pragma unroll
    for (int b = 0; b < kEach; ++b) dots[a][b] = 0;
  const auto ask = [&](const Rows<T>& rows, const int64_t (&ids)[kTile], int64_t first,
                       typename Tile<T>::Slice& to) {
    if (first >= rows.features) return;
    if (rows.aligned) fetch<Tile<T>::kChunk>(rows, ids, first, to);
    else fetch<1>(rows, ids, first, to);
  };
  int slot = 0;
  for (int64_t first = -kDepth; first < x.features; first += kDepth, slot ^= 1) {
    __pipeline_wait_prior(0);
    __syncthreads();  // all have this slice, and none uses the one before
    ask(x, x_ids, first + kDepth, held.x[slot ^ 1]);
    ask(y, y_ids, first + kDepth, held.y[slot ^ 1]);
    __pipeline_commit();
    if (first < 0) continue;
    const int64_t left = x.features - first;
    const int depth = left < kDepth ? left : kDepth;
    if (count <= kTile / 4) add_products<kEach / 4>(held.x[slot], held.y[slot], depth, dots);
    else if (count <= kTile / 2) add_products<kEach / 2>(held.x[slot], held.y[slot], depth, dots);
    else add_products<kEach>(held.x[slot], held.y[slot], depth, dots);
  }
  __syncthreads();
}

// ids = first, first + 1, ... while below count, then -1.
__device__ inline void consecutive(int64_t (&ids)[kTile], int64_t first, int64_t count) {
  if (threadIdx.x < kTile)
    ids[threadIdx.x] = first + threadIdx.x < count ? first + threadIdx.x : -1;
  __syncthreads();
}

}  // namespace infgrand
