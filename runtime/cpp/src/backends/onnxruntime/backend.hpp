// ONNX Runtime's CPU provider.
#pragma once

#include "backends/backend.hpp"

#include <memory>
#include <optional>
#include <string>

namespace sdrt {

// Throws UnsupportedError if the ONNX Runtime library is too old.
std::shared_ptr<Backend> open_onnxruntime(int threads, std::optional<std::string> precision);

}  // namespace sdrt
