// What the threads of a warp do together; all 32 take part.
#pragma once

#include "device.h"

namespace infgrand {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffff;

template <typename T>
__device__ T warp_sum(T v) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) v += __shfl_xor_sync(kAllLanes, v, mask);
  return v;
}

template <typename T>
__device__ T warp_max(T v) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const T other = __shfl_xor_sync(kAllLanes, v, mask);
    v = v > other ? v : other;
  }
  return v;
}

__device__ inline int lane_id() { return threadIdx.x % kWarp; }

// The number of this warp in the grid, `warps` of them to a block.
__device__ inline int64_t warp_id(int warps) {
  return static_cast<int64_t>(blockIdx.x) * warps + threadIdx.x / kWarp;
}

// Row pointers of a CSR. Out of order they make a wrong result, never a read outside.
struct RowPointers {
  Buffer<const int64_t> indptr;
  int64_t num_rows, num_edges;

  __device__ int64_t operator()(int64_t row) const {
    const int64_t at = indptr[row];
    return at < 0 ? 0 : at < num_edges ? at : num_edges;
  }

  // The last row that begins at or before an edge.
  __device__ int64_t row_of(int64_t edge) const {
    int64_t low = 0, high = num_rows;  // indptr[low] <= edge < indptr[high]
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      ((*this)(middle) <= edge ? low : high) = middle;
    }
    return low;
  }
};

}  // namespace infgrand
