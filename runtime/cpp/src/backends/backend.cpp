#include "backends/backend.hpp"

#include "errors.hpp"
#include "machine.hpp"
#include "validation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <sstream>

namespace sdrt {
namespace {

const std::vector<std::string> kBackends = {"openvino", "onnxruntime"};  // fastest first
const std::vector<std::string> kPrecisions = {"fp32", "bf16", "int8"};
constexpr std::int64_t kMaxThreads = 4096;

std::string text_of(const Shape& shape) {
    std::vector<std::string> sizes;
    for (const std::int64_t size : shape) {
        sizes.push_back(std::to_string(size));
    }
    return "(" + joined(sizes) + ")";
}

bool is_finite(const float* values, std::size_t count) {
    return std::all_of(values, values + count, [](float value) { return std::isfinite(value); });
}

// Whether a shape is one that the graph takes; equal names mean equal sizes.
bool fits(const TensorSpec& spec, const Shape& shape,
          std::map<std::string, std::int64_t>& sizes) {
    if (spec.shape.size() != shape.size()) {
        return false;
    }
    for (std::size_t i = 0; i < shape.size(); ++i) {
        const auto* name = std::get_if<std::string>(&spec.shape[i]);
        const std::int64_t wanted = name ? sizes.emplace(*name, shape[i]).first->second
                                         : std::get<std::int64_t>(spec.shape[i]);
        if (wanted != shape[i]) {
            return false;
        }
    }
    return true;
}

}  // namespace

void Stop::check() const {
    if (is_asked()) {
        throw CancelledError("the run was cancelled");
    }
}

void Graph::check(const Feeds& feeds, const std::vector<std::string>& asked) const {
    const std::string& name = network_.name;
    std::map<std::string, std::int64_t> sizes;
    for (const TensorSpec& spec : network_.spec.inputs) {
        const auto feed = feeds.find(spec.name);
        if (feed == feeds.end()) {
            throw UnsupportedError("the graph " + name + " takes an input " + sdrt::quoted(spec.name) +
                                   ", which this host does not know; use Python's sdrt");
        }
        const std::string wanted = spec.name == "input_ids" ? "int64" : "float32";
        if (spec.dtype != wanted) {
            throw ArtifactError(name + ": " + spec.name + " is " + spec.dtype +
                                " in the manifest, expected " + wanted +
                                "; export the model again");
        }
        if (!fits(spec, feed->second.shape, sizes)) {
            throw ArtifactError(name + ": " + spec.name + " would have the shape " +
                                text_of(feed->second.shape) +
                                ", which the manifest does not allow; export the model again");
        }
    }
    if (feeds.size() != network_.spec.inputs.size()) {
        throw ArtifactError(name + " takes " + std::to_string(network_.spec.inputs.size()) +
                            " inputs in the manifest, expected " + std::to_string(feeds.size()) +
                            "; export the model again");
    }
    for (const std::string& output : asked) {
        const auto& all = network_.spec.outputs;
        if (std::none_of(all.begin(), all.end(),
                         [&output](const TensorSpec& one) { return one.name == output; })) {
            throw ArtifactError(name + " has no output " + sdrt::quoted(output) +
                                " in the manifest; export the model again");
        }
    }
}

Outputs Graph::run(const Feeds& feeds, const std::vector<std::string>& asked, Stop& stop) {
    check(feeds, asked);
    stop.check();
    Outputs outputs = execute(feeds, asked, stop);
    for (const auto& [name, output] : outputs) {
        const std::size_t size = output.size();
        if (is_finite(output.data(), size)) {
            continue;
        }
        const auto bad = std::count_if(output.values.begin(), output.values.end(),
                                       [](float value) { return !std::isfinite(value); });
        throw NonFiniteError(network_.name + " gave NaN or infinity in " + sdrt::quoted(name) + " (" +
                             std::to_string(bad) + " of " + std::to_string(size) +
                             " values), executed in " + executed().precision +
                             "; check the model with: sdrt verify, and try another backend");
    }
    return outputs;
}

const std::vector<std::string>& built_backends() {
    static const std::vector<std::string> built = {
#ifdef SDRT_OPENVINO
        "openvino",
#endif
#ifdef SDRT_ONNXRUNTIME
        "onnxruntime",
#endif
    };
    return built;
}

std::shared_ptr<Backend> open_backend(const EngineOptions& options) {
    if (options.name) {
        check_known("backend", *options.name, kBackends);
    }
    if (options.precision) {
        check_known("precision", *options.precision, kPrecisions);
    }
    if (options.threads) {
        check_whole("threads", *options.threads, 1, kMaxThreads);
    }
    const std::string device = options.device.value_or("CPU");
    if (options.precision == "int8" && device == "CPU" && !has_int8()) {
        throw UnsupportedError(
            "this processor has no integer arithmetic for networks (AVX512-VNNI, AVX-VNNI or "
            "AMX-INT8); use a model in fp32 or bf16");
    }
    const auto& built = built_backends();
    if (built.empty()) {
        throw UnsupportedError("this build of sdrt has no engine; configure it with "
                               "-DSDRT_ONNXRUNTIME=ON or -DSDRT_OPENVINO=ON");
    }
    const std::string name = options.name.value_or(built.front());
    if (std::find(built.begin(), built.end(), name) == built.end()) {
        throw UnsupportedError("this build of sdrt has no " + name + "; it has: " + joined(built));
    }
    const int threads =
        options.threads ? static_cast<int>(*options.threads) : usable_cores();
#ifdef SDRT_OPENVINO
    if (name == "openvino") {
        return open_openvino(device, threads, options.precision);
    }
#endif
    if (device != "CPU") {
        throw UnsupportedError("onnxruntime runs on CPU here, not on " + sdrt::quoted(device) +
                               "; use openvino");
    }
#ifdef SDRT_ONNXRUNTIME
    return open_onnxruntime(threads, options.precision);
#else
    return nullptr;
#endif
}

std::string first_line(const std::string& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.find_first_not_of(" \t\r") != std::string::npos) {
            return line;
        }
    }
    return "no message";
}

std::string last_line(const std::string& text) {
    std::istringstream lines(text);
    std::string last = "no message";
    for (std::string line; std::getline(lines, line);) {
        if (line.find_first_not_of(" \t\r") != std::string::npos) {
            last = line;
        }
    }
    const std::size_t begin = last.find_first_not_of(" \t\r");
    return last.substr(begin == std::string::npos ? 0 : begin);
}

}  // namespace sdrt
