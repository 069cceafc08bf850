// The product over a CSR, and what may be done with a row while it is in registers.
#pragma once

#include "../pooling.h"
#include "rows.h"

namespace infgrand {

// y_i = the sum of row i; pooled_i = factor * pool(pool_with_i, y_i)
template <typename T>
struct Product {
  Rows<T> rows;
  int64_t num_rows;
  T* y;                // may be null
  T* pooled = nullptr;  // may be null
  const T* pool_with = nullptr;
  Pooling pooling = Pooling::kMean;
  Acc<T> factor = 1;
};

void multiply(const Product<float>& product);
void multiply(const Product<double>& product);
void multiply(const Product<BFloat16>& product);
void multiply(const Product<Half>& product);

}  // namespace infgrand
