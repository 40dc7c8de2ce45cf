// What OpenVINO made of a network: its kernels, read from the compiled graph.
//
// A kernel's arithmetic is in its name ("brgconv_avx512_bf16"). How many multiply-adds it has follows
// from its shapes, but for attention: that is fused into kernels of any kind and shape, which are
// known by the names of the layers that went into them.
#pragma once

#include "backends/executed.hpp"

#include <openvino/openvino.hpp>

#include <map>
#include <string>
#include <vector>

namespace sdrt {

using LayerMacs = std::map<std::string, double>;

// Multiply-adds of the layers that may become part of another kernel, by their names. For a model of
// known shapes, before it is compiled.
LayerMacs layer_macs(const ov::Model& model);

// Kernels of a compiled model, of which `layers` may be a part.
std::vector<Kernel> read_kernels(const ov::CompiledModel& compiled, const LayerMacs& layers);

}  // namespace sdrt
