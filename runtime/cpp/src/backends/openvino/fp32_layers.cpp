#include "backends/openvino/fp32_layers.hpp"

#include <openvino/op/constant.hpp>
#include <openvino/op/parameter.hpp>
#include <openvino/op/result.hpp>

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <utility>

namespace sdrt {
namespace {

using NodePtr = std::shared_ptr<ov::Node>;
using Nodes = std::set<const ov::Node*>;
// For each node, the model inputs on whose values, and not only shapes, it depends.
using Roots = std::unordered_map<const ov::Node*, Nodes>;

constexpr std::size_t kMaxRank = 2;  // of inputs of sinusoids: timesteps and image sizes
// Images are left in bf16: eight bits are enough for them, and their layer would be a large one.
constexpr std::size_t kImageChannels = 3;
constexpr const char* kBoundary = "sdrt_cut";

bool is_kind(const ov::Node* node, std::initializer_list<const char*> kinds) {
    return std::any_of(kinds.begin(), kinds.end(), [node](const char* kind) {
        return std::string(node->get_type_info().name) == kind;
    });
}

NodePtr input_node(const ov::Node* node, std::size_t index) {
    return node->input_value(index).get_node_shared_ptr();
}

std::set<std::string> names_of(const ov::ParameterVector& parameters) {
    std::set<std::string> names;
    for (const auto& parameter : parameters) {
        const auto& aliases = parameter->output(0).get_names();
        names.insert(aliases.begin(), aliases.end());
    }
    return names;
}

Roots roots_of(const ov::NodeVector& ordered) {
    Roots roots;
    for (const auto& node : ordered) {
        Nodes& node_roots = roots[node.get()];
        if (is_kind(node.get(), {"Parameter"})) {
            node_roots.insert(node.get());
        } else if (!is_kind(node.get(), {"ShapeOf"})) {
            for (std::size_t i = 0; i < node->get_input_size(); ++i) {
                const Nodes& input_roots = roots[input_node(node.get(), i).get()];
                node_roots.insert(input_roots.begin(), input_roots.end());
            }
        }
    }
    return roots;
}

// These nodes and everything they are computed from.
Nodes ancestors_of(std::vector<const ov::Node*> waiting) {
    Nodes ancestors;
    while (!waiting.empty()) {
        const ov::Node* node = waiting.back();
        waiting.pop_back();
        if (ancestors.insert(node).second) {
            for (std::size_t i = 0; i < node->get_input_size(); ++i) {
                waiting.push_back(input_node(node, i).get());
            }
        }
    }
    return ancestors;
}

bool is_image(const ov::Output<ov::Node>& output) {
    const auto& shape = output.get_shape();
    return shape.size() == 4 && shape[1] == kImageChannels;
}

// The node that consumes these values; nullptr if several do.
NodePtr single_consumer(const ov::Output<ov::Node>& output) {
    NodePtr consumer;
    for (const auto& target : output.get_target_inputs()) {
        if (is_kind(target.get_node(), {"ShapeOf"})) {
            continue;
        }
        if (consumer) {
            return nullptr;
        }
        consumer = target.get_node()->shared_from_this();
    }
    return consumer;
}

// Whether the node is of this kind and combines values with floating-point weights. A layer with
// quantized weights stays in the network, where the engine can find it.
bool has_float_weights(const ov::Node* node, const char* kind, const Roots& roots) {
    if (!is_kind(node, {kind}) || node->get_input_size() != 2) {
        return false;
    }
    NodePtr weights = input_node(node, 1);
    while (is_kind(weights.get(), {"Convert", "Reshape"})) {
        weights = input_node(weights.get(), 0);
    }
    const bool is_float =
        is_kind(weights.get(), {"Constant"}) && weights->get_output_element_type(0).is_real();
    return is_float && !roots.at(input_node(node, 0).get()).empty();
}

// Outputs of the sinusoids' region, which goes from sine and cosine
// to the first layer with weights.
ov::OutputVector after_sinusoids(const ov::Model& model, const ov::NodeVector& ordered,
                                 const Roots& roots) {
    Nodes small;
    for (const auto& parameter : model.get_parameters()) {
        if (parameter->get_shape().size() <= kMaxRank) {
            small.insert(parameter.get());
        }
    }
    Nodes inside;
    for (const auto& node : ordered) {
        bool begins = is_kind(node.get(), {"Sin", "Cos"});
        for (std::size_t i = 0; i < node->get_input_size() && !begins; ++i) {
            begins = inside.count(input_node(node.get(), i).get()) > 0;
        }
        const Nodes& node_roots = roots.at(node.get());
        const bool has_small_roots =
            !node_roots.empty() &&
            std::includes(small.begin(), small.end(), node_roots.begin(), node_roots.end());
        if (begins && !is_kind(node.get(), {"MatMul", "Convolution"}) && has_small_roots) {
            inside.insert(node.get());
        }
    }
    ov::OutputVector boundaries;
    for (const auto& node : ordered) {
        if (inside.count(node.get()) == 0) {
            continue;
        }
        for (const auto& output : node->outputs()) {
            const auto targets = output.get_target_inputs();
            if (std::any_of(targets.begin(), targets.end(), [&inside](const auto& target) {
                    return inside.count(target.get_node()) == 0;
                })) {
                boundaries.push_back(output);
            }
        }
    }
    return boundaries;
}

// Outputs of the convolutions that are applied to an input, such as
// the latents, before anything else.
ov::OutputVector after_first_convolutions(const ov::Model& model, const Roots& roots) {
    ov::OutputVector boundaries;
    for (const auto& parameter : model.get_parameters()) {
        ov::Output<ov::Node> end = parameter->output(0);
        for (NodePtr consumer = single_consumer(end);
             consumer && has_float_weights(consumer.get(), "Convolution", roots);
             consumer = single_consumer(end)) {
            end = consumer->output(0);
            const NodePtr bias = single_consumer(end);
            if (bias && has_float_weights(bias.get(), "Add", roots)) {
                end = bias->output(0);
            }
        }
        if (end.get_node() != parameter.get() && !is_image(parameter->output(0))) {
            boundaries.push_back(end);
        }
    }
    return boundaries;
}

// The first of the convolutions after which only an output follows, such as the latents.
NodePtr last_convolutions(ov::Output<ov::Node> end, const Roots& roots) {
    NodePtr first;
    while (single_consumer(end) && !is_image(end)) {
        NodePtr node = end.get_node_shared_ptr();
        if (has_float_weights(node.get(), "Add", roots) && single_consumer(node->input_value(0))) {
            node = input_node(node.get(), 0);
        }
        if (!has_float_weights(node.get(), "Convolution", roots)) {
            break;
        }
        first = node;
        end = node->input_value(0);
    }
    return first;
}

std::shared_ptr<ov::op::v0::Parameter> input_like(const ov::Output<ov::Node>& output,
                                                  const std::string& name) {
    auto input = std::make_shared<ov::op::v0::Parameter>(output.get_element_type(),
                                                         output.get_partial_shape());
    input->set_friendly_name(name);
    input->output(0).set_names({name});
    return input;
}

ov::InferRequest compile_in_fp32(ov::Core& core, const std::shared_ptr<ov::Model>& model) {
    return core
        .compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32),
                       ov::inference_num_threads(1))
        .create_infer_request();
}

// Removes those of a model's inputs that its results no longer depend on, and returns them.
ov::ParameterVector remove_unused(ov::Model& model, const ov::ParameterVector& inputs) {
    std::vector<const ov::Node*> result_nodes;
    for (const auto& result : model.get_results()) {
        result_nodes.push_back(result.get());
    }
    const Nodes used = ancestors_of(result_nodes);
    ov::ParameterVector removed;
    for (const auto& input : inputs) {
        if (used.count(input.get()) == 0) {
            removed.push_back(input);
            model.remove_parameter(input);
        }
    }
    return removed;
}

}  // namespace

OvFeeds Fp32Prefix::run(const OvFeeds& feeds) {
    OvFeeds rest_feeds;
    for (const auto& [name, tensor] : feeds) {
        if (inputs.count(name) > 0) {
            request.set_tensor(name, tensor);
        }
        if (replaced.count(name) == 0) {
            rest_feeds.emplace(name, tensor);
        }
    }
    request.infer();
    for (std::size_t i = 0; i < names.size(); ++i) {
        rest_feeds.emplace(names[i], request.get_output_tensor(i));
    }
    return rest_feeds;
}

ov::Tensor Fp32Suffix::run(ov::InferRequest& rest) {
    request.set_input_tensor(rest.get_tensor(kBoundary));
    request.infer();
    return request.get_output_tensor(0);
}

std::optional<Fp32Prefix> split_prefix(ov::Core& core, const std::shared_ptr<ov::Model>& model) {
    const ov::NodeVector ordered = model->get_ordered_ops();
    const Roots roots = roots_of(ordered);
    ov::OutputVector boundaries = after_sinusoids(*model, ordered, roots);
    for (const auto& boundary : after_first_convolutions(*model, roots)) {
        boundaries.push_back(boundary);
    }
    if (boundaries.empty()) {
        return std::nullopt;
    }
    std::vector<const ov::Node*> boundary_nodes;
    ov::ResultVector results;
    for (const auto& boundary : boundaries) {
        boundary_nodes.push_back(boundary.get_node());
        results.push_back(std::make_shared<ov::op::v0::Result>(boundary));
    }
    const Nodes prefix_nodes = ancestors_of(boundary_nodes);
    ov::ParameterVector prefix_inputs;
    for (const auto& parameter : model->get_parameters()) {
        if (prefix_nodes.count(parameter.get()) > 0) {
            prefix_inputs.push_back(parameter);
        }
    }
    Fp32Prefix prefix;
    prefix.request =
        compile_in_fp32(core, std::make_shared<ov::Model>(results, prefix_inputs, "fp32_prefix"));
    prefix.inputs = names_of(prefix_inputs);
    for (std::size_t i = 0; i < boundaries.size(); ++i) {
        prefix.names.push_back(std::string(kBoundary) + "_" + std::to_string(i));
        const auto input = input_like(boundaries[i], prefix.names.back());
        for (auto target : boundaries[i].get_target_inputs()) {
            if (!is_kind(target.get_node(), {"Result"})) {
                target.replace_source_output(input->output(0));
            }
        }
        model->add_parameters({input});
    }
    prefix.replaced = names_of(remove_unused(*model, prefix_inputs));
    model->validate_nodes_and_infer_types();
    return prefix;
}

std::optional<Fp32Suffix> split_suffix(ov::Core& core, const std::shared_ptr<ov::Model>& model) {
    const Roots roots = roots_of(model->get_ordered_ops());
    for (const auto& result : model->get_results()) {
        const ov::Output<ov::Node> end = result->input_value(0);
        const NodePtr first = last_convolutions(end, roots);
        if (!first) {
            continue;
        }
        ov::Output<ov::Node> boundary = first->input_value(0);
        const auto input = input_like(boundary, kBoundary);
        first->input(0).replace_source_output(input->output(0));
        const auto suffix_model =
            std::make_shared<ov::Model>(ov::ResultVector{std::make_shared<ov::op::v0::Result>(end)},
                                        ov::ParameterVector{input}, "fp32_suffix");
        Fp32Suffix suffix;
        suffix.request = compile_in_fp32(core, suffix_model);
        suffix.names = end.get_names();
        boundary.add_names({kBoundary});
        model->remove_result(result);
        model->add_results({std::make_shared<ov::op::v0::Result>(boundary)});
        model->validate_nodes_and_infer_types();
        return suffix;
    }
    return std::nullopt;
}

}  // namespace sdrt
