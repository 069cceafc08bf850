#include "../spmm.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <type_traits>
#include <vector>

// One body, compiled for each x86-64 level and chosen when the library is loaded.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define INFGRAND_CLONES \
  __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4"), flatten))
#else
#define INFGRAND_CLONES
#endif

namespace infgrand {
namespace {

struct BFloat16 {
  uint16_t bits;
};

template <typename T>
struct Traits {  // float and double
  using Acc = T;
};
template <>
struct Traits<BFloat16> {
  using Acc = float;
};
template <>
struct Traits<_Float16> {
  using Acc = float;
};

[[gnu::always_inline]] inline float load(const float* p) { return *p; }
[[gnu::always_inline]] inline double load(const double* p) { return *p; }
[[gnu::always_inline]] inline float load(const _Float16* p) { return static_cast<float>(*p); }
[[gnu::always_inline]] inline float load(const BFloat16* p) {
  const uint32_t bits = static_cast<uint32_t>(p->bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

[[gnu::always_inline]] inline void store(float* p, float v) { *p = v; }
[[gnu::always_inline]] inline void store(double* p, double v) { *p = v; }
[[gnu::always_inline]] inline void store(_Float16* p, float v) { *p = static_cast<_Float16>(v); }
[[gnu::always_inline]] inline void store(BFloat16* p, float v) {  // round to nearest even
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  if (v != v) {
    p->bits = 0x7fc0;
  } else {
    p->bits = static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  }
}

template <typename T>
struct Problem {
  using Acc = typename Traits<T>::Acc;
  const int64_t* indptr;
  const int32_t* indices;
  const T* x;
  const Acc* row_scale;  // may be null
  const Acc* col_scale;  // may be null
  Acc self_weight;
  T* y;
  int64_t features;
  int64_t num_edges;
  int64_t self_rows;  // rows i < self_rows have a row i in x, hence a self term
};

// How many neighbours ahead a row of x is asked for.
constexpr int64_t kAhead = 8;

// kLanes values of the accumulation type; the compiler splits them where registers are narrower.
template <typename Acc, int kLanes>
using Lanes [[gnu::vector_size(kLanes * sizeof(Acc))]] = Acc;

template <typename T, typename Vector>
[[gnu::always_inline]] inline void load_lanes(const T* p, Vector& lanes) {
  constexpr int count = sizeof(Vector) / sizeof(lanes[0]);
  if constexpr (std::is_same_v<T, typename Traits<T>::Acc>) {
    std::memcpy(&lanes, p, sizeof lanes);
  } else {
    for (int i = 0; i < count; ++i) lanes[i] = load(p + i);
  }
}

template <typename T, typename Vector>
[[gnu::always_inline]] inline void store_lanes(T* p, const Vector& lanes) {
  constexpr int count = sizeof(Vector) / sizeof(lanes[0]);
  if constexpr (std::is_same_v<T, typename Traits<T>::Acc>) {
    std::memcpy(p, &lanes, sizeof lanes);
  } else {
    for (int i = 0; i < count; ++i) store(p + i, lanes[i]);
  }
}

// Features [d, d + kLanes kVectors) of one row, held in registers over all neighbours.
template <typename T, int kLanes, int kVectors>
[[gnu::always_inline]] inline void tile(const Problem<T>& p, int64_t row, int64_t d) {
  using Acc = typename Traits<T>::Acc;
  using Vector = Lanes<Acc, kLanes>;
  Vector acc[kVectors] = {};
  const T* const x = p.x + d;
  const auto add = [&](int64_t j, Acc weight) __attribute__((always_inline)) {
    if (p.col_scale) weight *= p.col_scale[j];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      Vector lanes;
      load_lanes(x + j * p.features + kLanes * v, lanes);
      acc[v] += weight * lanes;
    }
  };
  const int64_t end = p.indptr[row + 1], last = p.num_edges - 1;
  for (int64_t e = p.indptr[row]; e < end; ++e) {
    const int64_t ahead = p.indices[std::min(e + kAhead, last)];
    const char* line = reinterpret_cast<const char*>(x + ahead * p.features);
#pragma GCC unroll 16
    for (size_t byte = 0; byte < kLanes * kVectors * sizeof(T); byte += 64)
      __builtin_prefetch(line + byte);
    add(p.indices[e], Acc(1));
  }
  if (p.self_weight != Acc(0) && row < p.self_rows) add(row, p.self_weight);
  const Acc scale = p.row_scale ? p.row_scale[row] : Acc(1);
  T* const y = p.y + row * p.features + d;
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) {
    const Vector scaled = scale * acc[v];
    store_lanes(y + kLanes * v, scaled);
  }
}

// All features of one row that is at least kLanes wide; the last tile overlaps the one before it.
template <typename T, int kLanes>
[[gnu::always_inline]] inline void narrow_row(const Problem<T>& p, int64_t row, int64_t d) {
  for (; d + kLanes <= p.features; d += kLanes) tile<T, kLanes, 1>(p, row, d);
  if (d < p.features) tile<T, kLanes, 1>(p, row, p.features - kLanes);
}

template <typename T>
[[gnu::always_inline]] inline void rows(const Problem<T>& p, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    if (p.features >= 16) {
      int64_t d = 0;
      for (; d + 256 <= p.features; d += 256) tile<T, 16, 16>(p, row, d);
      for (; d + 64 <= p.features; d += 64) tile<T, 16, 4>(p, row, d);
      narrow_row<T, 16>(p, row, d);
    } else if (p.features >= 4) {
      narrow_row<T, 4>(p, row, 0);
    } else {
      narrow_row<T, 1>(p, row, 0);
    }
  }
}

INFGRAND_CLONES void run_rows(const Problem<float>& p, int64_t b, int64_t e) { rows(p, b, e); }
INFGRAND_CLONES void run_rows(const Problem<double>& p, int64_t b, int64_t e) { rows(p, b, e); }
INFGRAND_CLONES void run_rows(const Problem<BFloat16>& p, int64_t b, int64_t e) { rows(p, b, e); }
INFGRAND_CLONES void run_rows(const Problem<_Float16>& p, int64_t b, int64_t e) { rows(p, b, e); }

// Row pointers ascend from 0 to len(indices) and every column exists in x.
void check_structure(const int64_t* indptr, int64_t num_rows, const int32_t* indices,
                     int64_t num_edges, int64_t num_cols) {
  STD_TORCH_CHECK(indptr[0] == 0 && indptr[num_rows] == num_edges,
                  "infgrand::spmm: indptr must run from 0 to len(indices) = ", num_edges,
                  ", found ", indptr[0], " to ", indptr[num_rows]);
  std::atomic<bool> ascending{true}, inside{true};
  torch::stable::parallel_for(0, num_rows, 1 << 16, [&](int64_t begin, int64_t end) {
    bool ok = true;
    for (int64_t i = begin; i < end; ++i) ok &= indptr[i] <= indptr[i + 1];
    if (!ok) ascending = false;
  });
  STD_TORCH_CHECK(ascending, "infgrand::spmm: indptr must not decrease");
  torch::stable::parallel_for(0, num_edges, 1 << 16, [&](int64_t begin, int64_t end) {
    uint32_t largest = 0;  // a negative id is a huge unsigned one
    for (int64_t e = begin; e < end; ++e)
      largest = std::max(largest, static_cast<uint32_t>(indices[e]));
    if (end > begin && static_cast<int64_t>(largest) >= num_cols) inside = false;
  });
  STD_TORCH_CHECK(inside, "infgrand::spmm: indices must lie in [0, ", num_cols,
                  "), the rows of x");
}

template <typename T>
void compute(const Tensor& indptr, const Tensor& indices, const Tensor& x,
             const std::optional<Tensor>& row_scale, const std::optional<Tensor>& col_scale,
             double self_weight, Tensor& y) {
  using Acc = typename Traits<T>::Acc;
  const auto data = [](const std::optional<Tensor>& t) {
    return t.has_value() ? static_cast<const Acc*>(t->const_data_ptr()) : nullptr;
  };
  const int64_t num_rows = y.size(0), num_edges = indices.size(0);
  const Problem<T> problem{static_cast<const int64_t*>(indptr.const_data_ptr()),
                           static_cast<const int32_t*>(indices.const_data_ptr()),
                           static_cast<const T*>(x.const_data_ptr()),
                           data(row_scale),
                           data(col_scale),
                           static_cast<Acc>(self_weight),
                           static_cast<T*>(y.mutable_data_ptr()),
                           x.size(1),
                           num_edges,
                           x.size(0)};
  check_structure(problem.indptr, num_rows, problem.indices, num_edges, x.size(0));

  // Work is cut by edges plus rows, and handed out as threads come for it: rows of a power-law
  // graph differ a thousandfold in length. Each row is summed by one thread in stored order, so
  // the result does not depend on the number of threads.
  const int64_t threads = torch::stable::get_num_threads();
  const int64_t work = num_edges + num_rows;
  const int64_t chunks = std::max<int64_t>(1, std::min(work / 2048, threads * 64));
  std::vector<int64_t> first(chunks + 1, num_rows);
  for (int64_t c = 0, row = 0; c < chunks; ++c) {
    const int64_t target = work / chunks * c;
    const int64_t* at = std::partition_point(
        problem.indptr + row, problem.indptr + num_rows,
        [&](const int64_t& p) { return p + (&p - problem.indptr) < target; });
    row = first[c] = at - problem.indptr;
  }
  std::atomic<int64_t> next{0};
  torch::stable::parallel_for(0, std::min(threads, chunks), 1, [&](int64_t, int64_t) {
    for (int64_t c; (c = next.fetch_add(1)) < chunks;) run_rows(problem, first[c], first[c + 1]);
  });
}

Tensor spmm_cpu(const Tensor& indptr, const Tensor& indices, const Tensor& x,
                const std::optional<Tensor>& row_scale, const std::optional<Tensor>& col_scale,
                double self_weight, const std::optional<Tensor>&, const std::optional<Tensor>&) {
  check_spmm(indptr, indices, x, row_scale, col_scale);
  Tensor y = torch::stable::new_empty(x, {indptr.size(0) - 1, x.size(1)});
  const auto call = [&](auto type) {
    compute<decltype(type)>(indptr, indices, x, row_scale, col_scale, self_weight, y);
  };
  switch (x.scalar_type()) {
    case ScalarType::Double: call(double{}); break;
    case ScalarType::BFloat16: call(BFloat16{}); break;
    case ScalarType::Half: call(_Float16{}); break;
    default: call(float{});
  }
  return y;
}

}  // namespace
}  // namespace infgrand

STABLE_TORCH_LIBRARY_IMPL(infgrand, CPU, m) { m.impl("spmm", TORCH_BOX(&infgrand::spmm_cpu)); }
