// Keeps out of bf16 what stands at the two ends of a network and must not be rounded: the waves of
// the time embedding, the first convolutions and the last ones (docs/precision.md has the figures;
// backends/ends.py is the same in Python, with the reasons).
//
// When a network is opened it is cut there. Graphs of their own compute the ends in fp32; files stay
// as they are, and those that others exported are treated alike.
#pragma once

#include <openvino/openvino.hpp>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace sdrt {

using OvFeeds = std::map<std::string, ov::Tensor>;

// A graph in fp32 that computes what a cut network takes in place of some of its inputs.
struct Head {
    ov::InferRequest request;
    std::set<std::string> inputs;
    std::vector<std::string> names;
    std::set<std::string> replaced;  // inputs that the cut network takes no more

    // Turns feeds of the whole network into those of the cut one.
    OvFeeds complete(const OvFeeds& feeds);
};

// A graph in fp32 that computes one output from what a cut network gives in its place.
struct Tail {
    ov::InferRequest request;
    std::unordered_set<std::string> names;  // of the output

    // Runs, after a run of the cut network, and gives the output; it stays with the engine.
    ov::Tensor infer(ov::InferRequest& cut);
};

// Cuts waves and first convolutions off a model of known shapes, in place; nothing without any.
std::optional<Head> cut_head(ov::Core& core, const std::shared_ptr<ov::Model>& model);

// Cuts the last convolutions off a model of known shapes, in place; nothing without any.
std::optional<Tail> cut_tail(ov::Core& core, const std::shared_ptr<ov::Model>& model);

}  // namespace sdrt
