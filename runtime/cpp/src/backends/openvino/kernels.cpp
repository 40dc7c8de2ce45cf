#include "backends/openvino/kernels.hpp"

#include <openvino/op/matmul.hpp>

#include <algorithm>
#include <set>
#include <sstream>

namespace sdrt {
namespace {

const std::map<std::string, std::string> kPrecisionNames = {
    {"f32", "fp32"}, {"f16", "fp16"}, {"I8", "int8"}};
const std::set<std::string> kInstructionSets = {"sse42", "avx",  "avx2",  "avx512", "vnni",
                                                "amx",   "neon", "asimd", "sve"};

double product(const ov::Shape& shape, std::size_t from = 0) {
    double all = 1;
    for (std::size_t i = from; i < shape.size(); ++i) {
        all *= static_cast<double>(shape[i]);
    }
    return all;
}

std::vector<std::string> split(const std::string& text, char separator) {
    std::istringstream stream(text);
    std::vector<std::string> parts;
    for (std::string part; std::getline(stream, part, separator);) {
        parts.push_back(part);
    }
    return parts;
}

std::string info(const ov::Node& node, const std::string& name) {
    const auto& all = node.get_rt_info();
    const auto entry = all.find(name);
    return entry == all.end() ? "" : entry->second.as<std::string>();
}

double macs_of(const ov::Node& node, const std::string& kind, const LayerMacs& layers) {
    if (kind == "Convolution" || kind == "FullyConnected") {
        const ov::Shape out = node.get_output_shape(0);
        const ov::Shape weights = node.get_input_shape(1);
        if (kind == "FullyConnected") {
            return product(out) * static_cast<double>(weights.back());
        }
        // The channels come after the groups, if there are any.
        return product(out) * product(weights, weights.size() > out.size() ? 2 : 1);
    }
    double macs = 0;
    for (const std::string& name : split(info(node, "originalLayersNames"), ',')) {
        const auto layer = layers.find(name);
        macs += layer == layers.end() ? 0 : layer->second;
    }
    return macs;
}

Kernel kernel_of(const ov::Node& node, const std::string& kind, const LayerMacs& layers) {
    Kernel kernel;
    const auto words = split(info(node, "primitiveType"), '_');
    for (const std::string& word : words) {
        if (kInstructionSets.count(word) > 0) {
            kernel.isa += (kernel.isa.empty() ? "" : "_") + word;
        }
    }
    // The graph's own precision may be that of weights, which the kernel converts while it runs.
    const std::string last = words.empty() ? "unknown" : words.back();
    const auto renamed = kPrecisionNames.find(last);
    kernel.precision = renamed == kPrecisionNames.end() ? last : renamed->second;
    kernel.macs = macs_of(node, kind, layers);
    return kernel;
}

}  // namespace

LayerMacs layer_macs(const ov::Model& model) {
    LayerMacs macs;
    for (const auto& node : model.get_ops()) {
        const std::string kind = node->get_type_info().name;
        const bool is_product = kind == "MatMul";
        if (!is_product && kind != "ScaledDotProductAttention") {
            continue;
        }
        const ov::Shape left = node->get_input_shape(0);
        const double out = product(node->get_output_shape(0));
        if (is_product) {
            const auto matmul = std::dynamic_pointer_cast<ov::op::v0::MatMul>(node);
            const bool is_transposed = matmul && matmul->get_transpose_a();
            const std::size_t inner = left.size() - (is_transposed && left.size() > 1 ? 2 : 1);
            macs[node->get_friendly_name()] = out * static_cast<double>(left[inner]);
        } else {  // queries times keys, then their product times values
            const ov::Shape keys = node->get_input_shape(1);
            macs[node->get_friendly_name()] =
                (product(left) + out) * static_cast<double>(keys[keys.size() - 2]);
        }
    }
    return macs;
}

std::vector<Kernel> read_kernels(const ov::CompiledModel& compiled, const LayerMacs& layers) {
    std::vector<Kernel> kernels;
    std::set<const ov::Node*> constants;
    for (const auto& node : compiled.get_runtime_model()->get_ordered_ops()) {
        const std::string kind = info(*node, "layerType");
        bool is_constant = kind != "Input";  // computed once, when compiled
        for (std::size_t i = 0; i < node->get_input_size() && is_constant; ++i) {
            is_constant = constants.count(node->get_input_node_ptr(i)) > 0;
        }
        if (is_constant) {
            constants.insert(node.get());
        } else if (kind != "Input" && kind != "Output") {
            kernels.push_back(kernel_of(*node, kind, layers));
        }
    }
    return kernels;
}

}  // namespace sdrt
