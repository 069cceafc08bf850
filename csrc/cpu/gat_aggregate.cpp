#include "../attention.h"
#include "csr.h"
#include "dot.h"

#include <torch/csrc/stable/library.h>

#include <cmath>
#include <limits>
#include <tuple>

namespace infgrand {
namespace {

constexpr int64_t kNear = 8;  // neighbours ahead whose rows are asked for

template <typename T>
struct Graph {
  const int64_t* indptr;
  const int32_t* indices;
  int64_t num_edges, heads, features;

  int64_t width() const { return heads * features; }

  INFGRAND_INLINE void prefetch(const T* rows, int64_t e) const {
    prefetch_row(rows + width() * indices[std::min(e + kNear, num_edges - 1)], width());
  }
};

template <typename T>
INFGRAND_INLINE T leaky(T v, T slope) {
  return v > 0 ? v : slope * v;
}

template <typename T>
struct Forward {
  Graph<T> graph;
  const T *x, *source, *target;
  T slope;
  Dropout<T> dropout;
  T *y, *normalizer;

  INFGRAND_INLINE void run(int64_t begin, int64_t end, int64_t) const {
    const int64_t H = graph.heads, F = graph.features, D = graph.width();
    std::vector<T> scores, largest(H), total(H);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = graph.indptr[i], last = graph.indptr[i + 1];
      scores.resize(std::max<size_t>(scores.size(), (last - first) * H));
      std::fill(largest.begin(), largest.end(), -std::numeric_limits<T>::infinity());
      std::fill(total.begin(), total.end(), T(0));
      for (int64_t e = first; e < last; ++e)
        for (int64_t h = 0; h < H; ++h) {
          const T s = leaky(source[graph.indices[e] * H + h] + target[i * H + h], slope);
          scores[(e - first) * H + h] = s;
          largest[h] = std::max(largest[h], s);
        }
      for (int64_t e = first; e < last; ++e)
        for (int64_t h = 0; h < H; ++h) {
          T& score = scores[(e - first) * H + h];
          total[h] += score = std::exp(score - largest[h]);
        }
      T* const out = y + i * D;
      std::fill(out, out + D, T(0));
      for (int64_t e = first; e < last; ++e) {
        graph.prefetch(x, e);
        const int64_t j = graph.indices[e];
        for (int64_t h = 0; h < H; ++h) {
          const T w = scores[(e - first) * H + h] / total[h] * dropout(i, j, h, H);
          const T* const row = x + j * D + h * F;
          for (int64_t k = 0; k < F; ++k) out[h * F + k] += w * row[k];
        }
      }
      for (int64_t h = 0; h < H; ++h) normalizer[i * H + h] = largest[h] + std::log(total[h]);
    }
  }
};

template <typename T>
struct Backward {
  Graph<T> graph;
  const T *own, *other, *source, *target, *normalizer, *delta;
  T slope;
  Dropout<T> dropout;
  bool transposed;
  T *sums, *out;  // out: transposed alone

  INFGRAND_INLINE void run(int64_t begin, int64_t end, int64_t) const {
    const int64_t H = graph.heads, F = graph.features, D = graph.width();
    for (int64_t r = begin; r < end; ++r) {
      std::fill(sums + r * H, sums + (r + 1) * H, T(0));
      if (transposed) std::fill(out + r * D, out + (r + 1) * D, T(0));
      for (int64_t e = graph.indptr[r]; e < graph.indptr[r + 1]; ++e) {
        graph.prefetch(other, e);
        const int64_t n = graph.indices[e];
        const int64_t i = transposed ? n : r, j = transposed ? r : n;
        for (int64_t h = 0; h < H; ++h) {
          const T score = source[j * H + h] + target[i * H + h];
          const T alpha = std::exp(leaky(score, slope) - normalizer[i * H + h]);
          const T w = alpha * dropout(i, j, h, H);
          const T* const row = other + n * D + h * F;
          const T ds = w * dot(own + r * D + h * F, row, F) - alpha * delta[i * H + h];
          sums[r * H + h] += score > 0 ? ds : slope * ds;
          if (transposed)
            for (int64_t k = 0; k < F; ++k) out[r * D + h * F + k] += w * row[k];
        }
      }
    }
  }
};

INFGRAND_RUN(Forward, float)
INFGRAND_RUN(Forward, double)
INFGRAND_RUN(Backward, float)
INFGRAND_RUN(Backward, double)

template <typename T>
Graph<T> graph_of(const Tensor& indptr, const Tensor& indices, const Tensor& x) {
  return {data<int64_t>(indptr), data<int32_t>(indices), indices.size(0), x.size(1), x.size(2)};
}

std::tuple<Tensor, Tensor> gat_aggregate(const Tensor& indptr, const Tensor& indices,
                                         const Tensor& x, const Tensor& source,
                                         const Tensor& target, double slope, double dropout,
                                         int64_t seed, const std::optional<Tensor>&,
                                         const std::optional<Tensor>&, const std::optional<Tensor>&,
                                         const std::optional<Tensor>&) {
  const char* op = "infgrand::gat_aggregate";
  check_aggregate(op, indptr, indices, x, source, target, dropout);
  check_structure(op, indptr, indices, x.size(0));
  const int64_t rows = indptr.size(0) - 1;
  const Tensor y = torch::stable::new_empty(x, {rows, x.size(1), x.size(2)});
  const Tensor normalizer = torch::stable::new_empty(x, {rows, x.size(1)});
  prefer_huge_pages(y);
  for_float_or_double(x, [&](auto type) {
    using T = decltype(type);
    const Forward<T> work{graph_of<T>(indptr, indices, x),
                          data<T>(x),
                          data<T>(source),
                          data<T>(target),
                          static_cast<T>(slope),
                          {dropout, seed},
                          static_cast<T*>(y.mutable_data_ptr()),
                          static_cast<T*>(normalizer.mutable_data_ptr())};
    const Chunks chunks(work.graph.indptr, rows);
    chunks(1, [&](int64_t begin, int64_t end, int64_t pass) { run(work, begin, end, pass); });
  });
  return {y, normalizer};
}

std::tuple<Tensor, Tensor> gat_aggregate_backward(const Tensor& indptr, const Tensor& indices,
                                                  const Tensor& own, const Tensor& other,
                                                  const Tensor& source, const Tensor& target,
                                                  const Tensor& normalizer, const Tensor& delta,
                                                  double slope, double dropout, int64_t seed,
                                                  bool transposed, const std::optional<Tensor>&) {
  const char* op = "infgrand::gat_aggregate_backward";
  check_aggregate_backward(op, indptr, indices, own, other, source, target, normalizer, delta,
                           dropout, transposed);
  check_structure(op, indptr, indices, other.size(0));
  const int64_t rows = own.size(0), H = own.size(1), F = own.size(2);
  const Tensor sums = torch::stable::new_empty(own, {rows, H});
  const Tensor out = torch::stable::new_empty(own, {transposed ? rows : 0, H, F});
  prefer_huge_pages(out);
  for_float_or_double(own, [&](auto type) {
    using T = decltype(type);
    const Backward<T> work{graph_of<T>(indptr, indices, own),
                           data<T>(own),
                           data<T>(other),
                           data<T>(source),
                           data<T>(target),
                           data<T>(normalizer),
                           data<T>(delta),
                           static_cast<T>(slope),
                           {dropout, seed},
                           transposed,
                           static_cast<T*>(sums.mutable_data_ptr()),
                           static_cast<T*>(out.mutable_data_ptr())};
    const Chunks chunks(work.graph.indptr, rows);
    chunks(1, [&](int64_t begin, int64_t end, int64_t pass) { run(work, begin, end, pass); });
  });
  return {sums, out};
}

}  // namespace
}  // namespace infgrand

STABLE_TORCH_LIBRARY_IMPL(infgrand, CPU, m) {
  m.impl("gat_aggregate", TORCH_BOX(&infgrand::gat_aggregate));
  m.impl("gat_aggregate_backward", TORCH_BOX(&infgrand::gat_aggregate_backward));
}
