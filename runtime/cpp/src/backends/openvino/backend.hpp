// OpenVINO: static graphs for each set of input shapes, in an explicit precision.
#pragma once

#include "backends/backend.hpp"

#include <memory>
#include <optional>
#include <string>

namespace sdrt {

// Throws UnsupportedError for a device that OpenVINO does not find or that lacks the precision.
std::shared_ptr<Backend> open_openvino(const std::string& device, int threads,
                                       std::optional<std::string> precision);

}  // namespace sdrt
