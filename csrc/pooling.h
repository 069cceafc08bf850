// How the matrices of successive hops become one, elementwise; not pooled, the last one is left.
#pragma once

#include <torch/headeronly/util/Exception.h>

#include <optional>
#include <string>

namespace infgrand {

enum class Pooling { kMean, kMax, kMin };

inline std::optional<Pooling> parse_pooling(const char* op, const std::string& name) {
  if (name == "mean") return Pooling::kMean;
  if (name == "max") return Pooling::kMax;
  if (name == "min") return Pooling::kMin;
  STD_TORCH_CHECK(name == "last", op, ": pooling must be mean, max, min or last, found ", name);
  return std::nullopt;
}

}  // namespace infgrand
