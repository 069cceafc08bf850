#include "csr.h"
#include "dot.h"

#include <torch/csrc/stable/library.h>

namespace infgrand {
namespace {

constexpr int64_t kAhead = 32;  // edges, at which a neighbour's row is asked for

template <typename T>
struct Work {
  const int64_t* indptr;
  const int32_t* indices;
  int64_t num_edges, features;
  const T *x, *y;
  T* dots;

  INFGRAND_INLINE void run(int64_t begin, int64_t end, int64_t) const {
    const int64_t D = features;
    for (int64_t i = begin; i < end; ++i)
      for (int64_t e = indptr[i]; e < indptr[i + 1]; ++e) {
        prefetch_row(y + D * indices[std::min(e + kAhead, num_edges - 1)], D);
        dots[e] = dot(x + i * D, y + indices[e] * D, D);
      }
  }
};

INFGRAND_RUN(Work, float)
INFGRAND_RUN(Work, double)

Tensor edge_dot(const Tensor& indptr, const Tensor& indices, const Tensor& x, const Tensor& y,
                const std::optional<Tensor>&) {
  const char* op = "infgrand::edge_dot";
  check_edge_dot(op, indptr, indices, x, y);
  check_structure(op, indptr, indices, y.size(0));
  const Tensor dots = torch::stable::new_empty(x, {indices.size(0)});
  prefer_huge_pages(dots);
  for_float_or_double(x, [&](auto type) {
    using T = decltype(type);
    const Work<T> work{data<int64_t>(indptr),
                       data<int32_t>(indices),
                       indices.size(0),
                       x.size(1),
                       data<T>(x),
                       data<T>(y),
                       static_cast<T*>(dots.mutable_data_ptr())};
    const Chunks chunks(work.indptr, x.size(0));
    chunks(1, [&](int64_t begin, int64_t end, int64_t pass) { run(work, begin, end, pass); });
  });
  return dots;
}

}  // namespace
}  // namespace infgrand

STABLE_TORCH_LIBRARY_IMPL(infgrand, CPU, m) { m.impl("edge_dot", TORCH_BOX(&infgrand::edge_dot)); }
