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
// For each node, the inputs of the model whose values, and not only shapes, it depends on.
using Roots = std::unordered_map<const ov::Node*, Nodes>;

constexpr std::size_t kMaxRank = 2;  // of inputs that waves are made of: timesteps, sizes of pictures
// Eight bits are enough for a picture, and its layer would be a large one.
constexpr std::size_t kPictureChannels = 3;
constexpr const char* kCut = "sdrt_cut";

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
    for (const auto& one : parameters) {
        const auto& own = one->output(0).get_names();
        names.insert(own.begin(), own.end());
    }
    return names;
}

Roots roots_of(const ov::NodeVector& ordered) {
    Roots roots;
    for (const auto& node : ordered) {
        Nodes& own = roots[node.get()];
        if (is_kind(node.get(), {"Parameter"})) {
            own.insert(node.get());
        } else if (!is_kind(node.get(), {"ShapeOf"})) {
            for (std::size_t i = 0; i < node->get_input_size(); ++i) {
                const Nodes& theirs = roots[input_node(node.get(), i).get()];
                own.insert(theirs.begin(), theirs.end());
            }
        }
    }
    return roots;
}

// These nodes and all that they are made of.
Nodes ancestors_of(std::vector<const ov::Node*> waiting) {
    Nodes found;
    while (!waiting.empty()) {
        const ov::Node* node = waiting.back();
        waiting.pop_back();
        if (found.insert(node).second) {
            for (std::size_t i = 0; i < node->get_input_size(); ++i) {
                waiting.push_back(input_node(node, i).get());
            }
        }
    }
    return found;
}

bool is_picture(const ov::Output<ov::Node>& output) {
    const auto& shape = output.get_shape();
    return shape.size() == 4 && shape[1] == kPictureChannels;
}

// The one node that reads these values; none where there are several.
NodePtr only_reader(const ov::Output<ov::Node>& output) {
    NodePtr reader;
    for (const auto& target : output.get_target_inputs()) {
        if (is_kind(target.get_node(), {"ShapeOf"})) {
            continue;
        }
        if (reader) {
            return nullptr;
        }
        reader = target.get_node()->shared_from_this();
    }
    return reader;
}

// Whether a node of this kind joins values with constants that are stored in floating point. A layer
// whose weights are quantized is left where its engine can find it.
bool takes_constant(const ov::Node* node, const char* kind, const Roots& roots) {
    if (!is_kind(node, {kind}) || node->get_input_size() != 2) {
        return false;
    }
    NodePtr stored = input_node(node, 1);
    while (is_kind(stored.get(), {"Convert", "Reshape"})) {
        stored = input_node(stored.get(), 0);
    }
    const bool is_stored =
        is_kind(stored.get(), {"Constant"}) && stored->get_output_element_type(0).is_real();
    return is_stored && !roots.at(input_node(node, 0).get()).empty();
}

// Outputs of the region of waves: from sine and cosine up to the first layer with weights.
ov::OutputVector behind_waves(const ov::Model& model, const ov::NodeVector& ordered,
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
        const Nodes& own = roots.at(node.get());
        const bool is_of_small = !own.empty() && std::includes(small.begin(), small.end(),
                                                               own.begin(), own.end());
        if (begins && !is_kind(node.get(), {"MatMul", "Convolution"}) && is_of_small) {
            inside.insert(node.get());
        }
    }
    ov::OutputVector ends;
    for (const auto& node : ordered) {
        if (inside.count(node.get()) == 0) {
            continue;
        }
        for (const auto& output : node->outputs()) {
            const auto targets = output.get_target_inputs();
            if (std::any_of(targets.begin(), targets.end(), [&inside](const auto& target) {
                    return inside.count(target.get_node()) == 0;
                })) {
                ends.push_back(output);
            }
        }
    }
    return ends;
}

// Outputs of the convolutions that nothing stands before but an input such as latents.
ov::OutputVector behind_first_convolutions(const ov::Model& model, const Roots& roots) {
    ov::OutputVector ends;
    for (const auto& parameter : model.get_parameters()) {
        ov::Output<ov::Node> end = parameter->output(0);
        for (NodePtr reader = only_reader(end);
             reader && takes_constant(reader.get(), "Convolution", roots);
             reader = only_reader(end)) {
            end = reader->output(0);
            const NodePtr bias = only_reader(end);
            if (bias && takes_constant(bias.get(), "Add", roots)) {
                end = bias->output(0);
            }
        }
        if (end.get_node() != parameter.get() && !is_picture(parameter->output(0))) {
            ends.push_back(end);
        }
    }
    return ends;
}

// The first of the convolutions that nothing stands behind but an output such as latents.
NodePtr last_convolutions(ov::Output<ov::Node> end, const Roots& roots) {
    NodePtr first;
    while (only_reader(end) && !is_picture(end)) {
        NodePtr node = end.get_node_shared_ptr();
        if (takes_constant(node.get(), "Add", roots) && only_reader(node->input_value(0))) {
            node = input_node(node.get(), 0);
        }
        if (!takes_constant(node.get(), "Convolution", roots)) {
            break;
        }
        first = node;
        end = node->input_value(0);
    }
    return first;
}

std::shared_ptr<ov::op::v0::Parameter> input_like(const ov::Output<ov::Node>& output,
                                                  const std::string& name) {
    auto made = std::make_shared<ov::op::v0::Parameter>(output.get_element_type(),
                                                        output.get_partial_shape());
    made->set_friendly_name(name);
    made->output(0).set_names({name});
    return made;
}

ov::InferRequest compile_apart(ov::Core& core, const std::shared_ptr<ov::Model>& model) {
    return core
        .compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32),
                       ov::inference_num_threads(1))
        .create_infer_request();
}

}  // namespace

OvFeeds Head::complete(const OvFeeds& feeds) {
    OvFeeds completed;
    for (const auto& [name, tensor] : feeds) {
        if (inputs.count(name) > 0) {
            request.set_tensor(name, tensor);
        }
        if (replaced.count(name) == 0) {
            completed.emplace(name, tensor);
        }
    }
    request.infer();
    for (std::size_t i = 0; i < names.size(); ++i) {
        completed.emplace(names[i], request.get_output_tensor(i));
    }
    return completed;
}

ov::Tensor Tail::infer(ov::InferRequest& cut) {
    request.set_input_tensor(cut.get_tensor(kCut));
    request.infer();
    return request.get_output_tensor(0);
}

std::optional<Head> cut_head(ov::Core& core, const std::shared_ptr<ov::Model>& model) {
    const ov::NodeVector ordered = model->get_ordered_ops();
    const Roots roots = roots_of(ordered);
    ov::OutputVector ends = behind_waves(*model, ordered, roots);
    for (const auto& end : behind_first_convolutions(*model, roots)) {
        ends.push_back(end);
    }
    if (ends.empty()) {
        return std::nullopt;
    }
    std::vector<const ov::Node*> end_nodes;
    ov::ResultVector results;
    for (const auto& end : ends) {
        end_nodes.push_back(end.get_node());
        results.push_back(std::make_shared<ov::op::v0::Result>(end));
    }
    const Nodes above = ancestors_of(end_nodes);
    ov::ParameterVector taken;
    for (const auto& parameter : model->get_parameters()) {
        if (above.count(parameter.get()) > 0) {
            taken.push_back(parameter);
        }
    }
    Head head;
    head.request = compile_apart(core, std::make_shared<ov::Model>(results, taken, "head"));
    head.inputs = names_of(taken);
    for (std::size_t i = 0; i < ends.size(); ++i) {
        head.names.push_back(std::string(kCut) + "_" + std::to_string(i));
        const auto made = input_like(ends[i], head.names.back());
        for (auto target : ends[i].get_target_inputs()) {
            if (!is_kind(target.get_node(), {"Result"})) {
                target.replace_source_output(made->output(0));
            }
        }
        model->add_parameters({made});
    }
    std::vector<const ov::Node*> result_nodes;
    for (const auto& result : model->get_results()) {
        result_nodes.push_back(result.get());
    }
    const Nodes used = ancestors_of(result_nodes);
    ov::ParameterVector replaced;
    for (const auto& parameter : taken) {
        if (used.count(parameter.get()) == 0) {
            replaced.push_back(parameter);
            model->remove_parameter(parameter);
        }
    }
    head.replaced = names_of(replaced);
    model->validate_nodes_and_infer_types();
    return head;
}

std::optional<Tail> cut_tail(ov::Core& core, const std::shared_ptr<ov::Model>& model) {
    const Roots roots = roots_of(model->get_ordered_ops());
    for (const auto& result : model->get_results()) {
        const ov::Output<ov::Node> end = result->input_value(0);
        const NodePtr first = last_convolutions(end, roots);
        if (!first) {
            continue;
        }
        ov::Output<ov::Node> begin = first->input_value(0);
        const auto made = input_like(begin, kCut);
        first->input(0).replace_source_output(made->output(0));
        const auto apart = std::make_shared<ov::Model>(
            ov::ResultVector{std::make_shared<ov::op::v0::Result>(end)},
            ov::ParameterVector{made}, "tail");
        Tail tail;
        tail.request = compile_apart(core, apart);
        tail.names = end.get_names();
        begin.add_names({kCut});
        model->remove_result(result);
        model->add_results({std::make_shared<ov::op::v0::Result>(begin)});
        model->validate_nodes_and_infer_types();
        return tail;
    }
    return std::nullopt;
}

}  // namespace sdrt
