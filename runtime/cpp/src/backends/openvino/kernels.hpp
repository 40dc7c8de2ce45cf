// The kernels that OpenVINO chose for a network, read from the compiled graph.
//
// A kernel's name contains its arithmetic ("brgconv_avx512_bf16"), and its shapes give the number
// of multiply-adds. Attention is the exception: it is fused into kernels of any kind and shape,
// which are recognized by the names of the layers that were fused.
#pragma once

#include "backends/executed.hpp"

#include <openvino/openvino.hpp>

#include <map>
#include <string>
#include <vector>

namespace sdrt {

using LayerMacs = std::map<std::string, double>;

// The multiply-adds of the layers that may be fused into another kernel, by name. The model has
// static shapes and is not compiled yet.
LayerMacs layer_macs(const ov::Model& model);

// The kernels of a compiled model, into which `layers` may be fused.
std::vector<Kernel> read_kernels(const ov::CompiledModel& compiled, const LayerMacs& layers);

}  // namespace sdrt
