// How the matrices of successive hops become one, elementwise.
#pragma once

#include <torch/headeronly/util/Exception.h>

#include <string>

namespace infgrand {

enum class Pooling { kMean, kMax, kMin };

inline Pooling parse_pooling(const char* op, const std::string& name) {
  if (name == "mean") return Pooling::kMean;
  if (name == "max") return Pooling::kMax;
  STD_TORCH_CHECK(name == "min", op, ": pooling must be mean, max or min, found ", name);
  return Pooling::kMin;
}

}  // namespace infgrand
