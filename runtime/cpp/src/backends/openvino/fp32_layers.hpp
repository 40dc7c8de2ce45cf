// Keeps in fp32 the first and last layers of a network that runs in bf16: the sinusoids of the time
// embedding, the first convolutions and the last ones, whose rounding errors reach the output whole
// (docs/internals/bf16.md has the figures; Python's fp32_layers.py gives the reasons).
//
// The network is split there when it is compiled. The split-off layers become graphs of their own
// in fp32; the files stay as they are, and files from other exporters are treated alike.
#pragma once

#include <openvino/openvino.hpp>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

namespace sdrt {

using OvFeeds = std::map<std::string, ov::Tensor>;

// An fp32 graph that computes what the rest of the network takes in place of some of its inputs.
struct Fp32Prefix {
    ov::InferRequest request;
    std::set<std::string> inputs;
    std::vector<std::string> names;  // of its outputs, which are inputs of the rest
    std::set<std::string> replaced;  // inputs that the rest no longer takes

    // Turns the feeds of the whole network into those of the rest.
    OvFeeds run(const OvFeeds& feeds);
};

// An fp32 graph that computes a network's output from an output of the rest.
struct Fp32Suffix {
    ov::InferRequest request;
    std::unordered_set<std::string> names;  // of the network's output

    // Runs after the rest of the network and returns the output,
    // whose memory belongs to the engine.
    ov::Tensor run(ov::InferRequest& rest);
};

// Splits the sinusoids and first convolutions off a model with static shapes, in
// place. Returns nothing if it has none.
std::optional<Fp32Prefix> split_prefix(ov::Core& core, const std::shared_ptr<ov::Model>& model);

// Splits the last convolutions off a model with static shapes, in
// place. Returns nothing if it has none.
std::optional<Fp32Suffix> split_suffix(ov::Core& core, const std::shared_ptr<ov::Model>& model);

}  // namespace sdrt
