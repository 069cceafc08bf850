#include "csr.h"
#include "dot.h"

#include <torch/csrc/stable/library.h>

namespace infgrand {
namespace {

template <typename T>
struct Work {
  Rows<T> rows;  // y in the place of x
  const T* x;
  T* dots;

  INFGRAND_INLINE void run(int64_t begin, int64_t end, int64_t) const {
    const int64_t D = rows.features;
    for (int64_t i = begin; i < end; ++i)
      for (int64_t e = rows.indptr[i]; e < rows.indptr[i + 1]; ++e) {
        prefetch_row(rows.x + D * rows.indices[std::min(e + kAhead, rows.num_edges - 1)], D);
        dots[e] = dot(x + i * D, rows.x + rows.indices[e] * D, D);
      }
  }
};

INFGRAND_RUN(Work, float)
INFGRAND_RUN(Work, double)

Tensor edge_dot(const Tensor& indptr, const Tensor& indices, const Tensor& x, const Tensor& y) {
  const char* op = "infgrand::edge_dot";
  check_edge_dot(op, indptr, indices, x, y);
  check_structure(op, indptr, indices, y.size(0));
  const Tensor dots = torch::stable::new_empty(x, {indices.size(0)});
  prefer_huge_pages(dots);
  for_float_or_double(x, [&](auto type) {
    using T = decltype(type);
    const Work<T> work{rows_of<T>(indptr, indices, y, {}, {}, {}, 0), data<T>(x),
                       static_cast<T*>(dots.mutable_data_ptr())};
    for_rows(work.rows.indptr, x.size(0), 1,
             [&](int64_t begin, int64_t end, int64_t pass) { run(work, begin, end, pass); });
  });
  return dots;
}

}  // namespace
}  // namespace infgrand

STABLE_TORCH_LIBRARY_IMPL(infgrand, CPU, m) { m.impl("edge_dot", TORCH_BOX(&infgrand::edge_dot)); }
