#include "panels.h"

#include <torch/csrc/stable/library.h>

#include <cmath>
#include <tuple>

namespace infgrand {
namespace {

template <typename T>
struct Nearest {
  const T *x, *axis_rows;
  const Axes<T>& axes;
  int64_t* owner;
  T* distance;

  INFGRAND_INLINE void run(int64_t begin, int64_t end) const {
    using Index = std::conditional_t<std::is_same_v<T, double>, int64_t, int32_t>;
    const int64_t D = axes.features;
    for (int64_t row = begin; row < end; row += kRows) {
      const T* rows[kRows];
      for (int r = 0; r < kRows; ++r) rows[r] = x + std::min(row + r, end - 1) * D;
      Panel<T> best[kRows], dots[kRows];
      Panel<Index> at[kRows] = {};  // the panel, lane by lane
      products<T>(rows, axes.panel(0), D, best);
      for (int64_t p = 1; p < axes.panels(); ++p) {
        products<T>(rows, axes.panel(p), D, dots);
        for (int r = 0; r < kRows; ++r)
          for (int k = 0; k < Panel<T>::kParts; ++k) {
            auto& highest = best[r].part[k];
            auto& found = at[r].part[k];
            const auto higher = dots[r].part[k] > highest;
            highest = higher ? dots[r].part[k] : highest;
            found = higher ? static_cast<Index>(p) - Vec<Index>{} : found;
          }
      }
      for (int r = 0; r < kRows && row + r < end; ++r) {
        int64_t chosen = int64_t{at[r][0]} * kPanel;
        T highest = best[r][0];
        for (int l = 1; l < kPanel; ++l) {
          const int64_t k = std::min(int64_t{at[r][l]} * kPanel + l, axes.count - 1);
          if (best[r][l] > highest || (best[r][l] == highest && k < chosen))
            highest = best[r][l], chosen = k;
        }
        owner[row + r] = chosen;
        distance[row + r] = chord(rows[r], axis_rows + chosen * D, D);
      }
    }
  }

  INFGRAND_INLINE static T chord(const T* a, const T* b, int64_t features) {
    Vec<T> sum{}, u, v;
    int64_t d = 0;
    for (; d + kLanes<T> <= features; d += kLanes<T>) {
      load_lanes(a + d, u);
      load_lanes(b + d, v);
      sum += (u - v) * (u - v);
    }
    T total = 0;
    for (int l = 0; l < kLanes<T>; ++l) total += sum[l];
    for (; d < features; ++d) total += (a[d] - b[d]) * (a[d] - b[d]);
    return std::sqrt(total);
  }
};

#define INFGRAND_RUN_NEAREST(T)                                                  \
  INFGRAND_CLONES void run(const Nearest<T>& work, int64_t begin, int64_t end) { \
    work.run(begin, end);                                                        \
  }
INFGRAND_RUN_NEAREST(float)
INFGRAND_RUN_NEAREST(double)

std::tuple<Tensor, Tensor> nearest_axis(const Tensor& x, const Tensor& axes) {
  check_nearest_axis("infgrand::nearest_axis", x, axes);
  const Tensor owner = torch::stable::new_empty(x, {x.size(0)}, ScalarType::Long);
  const Tensor distance = torch::stable::new_empty(x, {x.size(0)});
  for_float_or_double(x, [&](auto type) {
    using T = decltype(type);
    const Axes<T> packed(axes);
    const Nearest<T> work{static_cast<const T*>(x.const_data_ptr()),
                          static_cast<const T*>(axes.const_data_ptr()), packed,
                          static_cast<int64_t*>(owner.mutable_data_ptr()),
                          static_cast<T*>(distance.mutable_data_ptr())};
    for_blocks(x.size(0), [&](int64_t begin, int64_t end) { run(work, begin, end); });
  });
  return {owner, distance};
}

}  // namespace
}  // namespace infgrand

STABLE_TORCH_LIBRARY_IMPL(infgrand, CPU, m) {
  m.impl("nearest_axis", TORCH_BOX(&infgrand::nearest_axis));
}
