#include "product.h"

#include "csr.h"

namespace infgrand {
namespace {

template <typename T, int kLanes, int kVectors>
INFGRAND_INLINE void finish(const Product<T>& p, int64_t row, Lanes<T, kLanes> (&sum)[kVectors],
                            const int64_t (&offset)[kVectors]) {
  using Vector = Lanes<T, kLanes>;
  const int64_t at = row * p.rows.features;
  if (p.y)
    for (int v = 0; v < kVectors; ++v) store_lanes<kLanes>(p.y + at + offset[v], sum[v]);
  if (!p.pooled) return;
  Vector other[kVectors];  // all are read before any is written: the last two may overlap
  for (int v = 0; v < kVectors; ++v) load_lanes<kLanes>(p.pool_with + at + offset[v], other[v]);
  for (int v = 0; v < kVectors; ++v) {
    Vector& a = sum[v];
    const Vector& b = other[v];
    if (p.pooling == Pooling::kMean) a = p.factor * (a + b);
    else if (p.pooling == Pooling::kMax) a = a > b ? a : b;
    else a = a < b ? a : b;
    store_lanes<kLanes>(p.pooled + at + offset[v], a);
  }
}

template <typename T>
struct Work {
  const Product<T>& product;

  INFGRAND_INLINE void run(int64_t begin, int64_t end, int64_t t) const {
    for (int64_t row = begin; row < end; ++row)
      row_tile(product.rows, row, t, [&](auto& sum, auto& offset) __attribute__((always_inline)) {
        constexpr int kLanes = sizeof(sum[0]) / sizeof(Acc<T>);
        finish<T, kLanes>(product, row, sum, offset);
      });
  }
};

INFGRAND_FOR_TYPES(Work)

template <typename T>
void all_rows(const Product<T>& product) {
  for_rows(product.rows.indptr, product.num_rows, num_tiles<T>(product.rows.features),
           [&](int64_t begin, int64_t end, int64_t t) { run(Work<T>{product}, begin, end, t); });
}

}  // namespace

void multiply(const Product<float>& product) { all_rows(product); }
void multiply(const Product<double>& product) { all_rows(product); }
void multiply(const Product<BFloat16>& product) { all_rows(product); }
void multiply(const Product<Half>& product) { all_rows(product); }

}  // namespace infgrand
