// What kernels that meet whole rows of neighbours share.
#pragma once

#include "vectors.h"

namespace infgrand {

template <typename T>
INFGRAND_INLINE void prefetch_row(const T* row, int64_t features) {
  const char* const line = reinterpret_cast<const char*>(row);
  for (size_t byte = 0; byte < features * sizeof(T); byte += 64)
    __builtin_prefetch(line + byte, 0, 2);
}

template <typename T>
INFGRAND_INLINE T dot(const T* a, const T* b, int64_t n) {
  Vec<T> sum = {}, u, v;
  int64_t k = 0;
  for (; k + kLanes<T> <= n; k += kLanes<T>) {
    load_lanes(a + k, u);
    load_lanes(b + k, v);
    sum += u * v;
  }
  T total = 0;
  for (int lane = 0; lane < kLanes<T>; ++lane) total += sum[lane];
  for (; k < n; ++k) total += a[k] * b[k];
  return total;
}

}  // namespace infgrand
