#include "backends/openvino/backend.hpp"

#include "backends/openvino/fp32_layers.hpp"
#include "backends/openvino/kernels.hpp"
#include "backends/openvino/mapped_weights.hpp"
#include "errors.hpp"

#include <openvino/openvino.hpp>
#include <openvino/runtime/exception.hpp>

#include <algorithm>
#include <list>
#include <new>
#include <sstream>

namespace sdrt {
namespace {

// How many compiled models are kept: one with and one without guidance, or two sizes.
constexpr std::size_t kMaxShapes = 2;

// The last line of the engine's message that is not blank.
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

// Translates the engine's exception that is being handled; `what` is the network or its file.
[[noreturn]] void rethrow_openvino(const std::string& what) {
    std::string text;
    try {
        throw;
    } catch (const Error&) {
        throw;
    } catch (const ov::Cancelled&) {
        throw CancelledError(what + " was cancelled");
    } catch (const std::bad_alloc&) {
        throw OutOfMemoryError("OpenVINO could not allocate memory for " + what);
    } catch (const std::exception& error) {
        text = error.what();
    }
    if (text.find("ancel") != std::string::npos) {
        throw CancelledError(what + " was cancelled");
    }
    if (text.find("bad_alloc") != std::string::npos || text.find("allocate") != std::string::npos) {
        throw OutOfMemoryError("OpenVINO could not allocate memory for " + what + ": " +
                               last_line(text));
    }
    throw ArtifactError("OpenVINO cannot run " + what + ": " + last_line(text));
}

ov::Tensor view(const Feed& feed, const std::string& dtype) {
    // The engine only reads its inputs.
    return {dtype == "int64" ? ov::element::i64 : ov::element::f32,
            ov::Shape(feed.shape.begin(), feed.shape.end()), const_cast<void*>(feed.values)};
}

Tensor copied(const ov::Tensor& tensor, const std::string& what) {
    if (tensor.get_element_type() != ov::element::f32) {
        throw ArtifactError(what + " is not float32; export the model again");
    }
    const auto* values = static_cast<const float*>(tensor.data());
    return {{tensor.get_shape().begin(), tensor.get_shape().end()},
            {values, values + tensor.get_size()}};
}

// A network for one set of shapes. In bf16 its first and last layers
// are graphs of their own in fp32.
struct Compiled {
    Shapes shapes;
    ov::CompiledModel model;
    ov::InferRequest request;
    std::optional<Fp32Prefix> prefix;
    std::optional<Fp32Suffix> suffix;
    LayerMacs layers;
};

struct Settings {
    std::shared_ptr<ov::Core> core;
    std::string device;
    int threads;
    bool is_bf16;
};

class OpenVinoGraph : public Graph {
public:
    OpenVinoGraph(Network network_files, Settings settings)
        : Graph(std::move(network_files)),
          settings_(std::move(settings)) {
        read();  // reports an unreadable file now instead of at the first step
    }

    void prepare(const Shapes& shapes) override { find(shapes); }

    Executed executed() const override {
        if (compiled_.empty()) {
            return executed_only("unknown");
        }
        const Compiled& last = compiled_.front();
        return sdrt::executed(read_kernels(last.model, last.layers));
    }

protected:
    Outputs execute(const Feeds& feeds, const std::vector<std::string>& outputs,
                    Cancellation& cancellation) override {
        Shapes shapes;
        OvFeeds views;
        for (const TensorSpec& spec : network().spec.inputs) {
            const Feed& feed = feeds.at(spec.name);
            shapes.emplace(spec.name, feed.shape);
            views.emplace(spec.name, view(feed, spec.dtype));
        }
        Compiled& compiled = find(shapes);
        try {
            return infer(compiled, views, outputs, cancellation);
        } catch (...) {
            rethrow_openvino(network().name);
        }
    }

private:
    Outputs infer(Compiled& compiled, const OvFeeds& views, const std::vector<std::string>& outputs,
                  Cancellation& cancellation) {
        ov::InferRequest& request = compiled.request;
        const auto& prefix = compiled.prefix;
        for (const auto& [name, tensor] : prefix ? compiled.prefix->run(views) : views) {
            request.set_tensor(name, tensor);
        }
        request.start_async();
        {
            // Registered after the start, because a request that has not
            // started cannot be cancelled.
            const Cancellation::Callback callback(cancellation, [&request] { request.cancel(); });
            request.wait();
        }
        std::optional<ov::Tensor> suffix_output;
        if (compiled.suffix) {
            suffix_output = compiled.suffix->run(request);
        }
        Outputs results;
        for (const std::string& name : outputs) {
            const bool is_from_suffix = suffix_output && compiled.suffix->names.count(name) > 0;
            results[name] = copied(is_from_suffix ? *suffix_output : request.get_tensor(name),
                                   network().name + "'s " + name);
        }
        return results;
    }

    Compiled& find(const Shapes& shapes) {
        const auto match =
            std::find_if(compiled_.begin(), compiled_.end(),
                         [&](const Compiled& compiled) { return compiled.shapes == shapes; });
        if (match != compiled_.end()) {
            compiled_.splice(compiled_.begin(), compiled_, match);
        } else {
            while (compiled_.size() >= kMaxShapes) {
                compiled_.pop_back();
            }
            compiled_.push_front(compile(shapes));
        }
        return compiled_.front();
    }

    Compiled compile(const Shapes& shapes) {
        try {
            Compiled compiled;
            compiled.shapes = shapes;
            const auto& files = network().files;
            const MappedPageDropper dropper({files.begin() + 1, files.end()});
            std::shared_ptr<ov::Model> model = read();
            std::map<std::string, ov::PartialShape> sizes;
            for (const auto& [name, shape] : shapes) {
                sizes[name] =
                    ov::PartialShape(std::vector<ov::Dimension>(shape.begin(), shape.end()));
            }
            model->reshape(sizes);
            if (settings_.is_bf16) {
                compiled.prefix = split_prefix(*settings_.core, model);
                compiled.suffix = split_suffix(*settings_.core, model);
            }
            compiled.layers = layer_macs(*model);
            // The precision is explicit, because OpenVINO would run fp32
            // networks in bf16 if it can.
            ov::AnyMap properties = {ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
                                     ov::hint::inference_precision(
                                         settings_.is_bf16 ? ov::element::bf16 : ov::element::f32)};
            if (settings_.device == "CPU") {
                properties.insert(ov::inference_num_threads(settings_.threads));
                // Otherwise OpenVINO would also round the inputs of layers with integer weights.
                properties.insert(ov::hint::dynamic_quantization_group_size(0));
            }
            compiled.model = settings_.core->compile_model(model, settings_.device, properties);
            compiled.request = compiled.model.create_infer_request();
            return compiled;
        } catch (...) {
            rethrow_openvino(network().name);
        }
    }

    std::shared_ptr<ov::Model> read() {
        const std::string file = network().files.front().string();
        try {
            return settings_.core->read_model(file);
        } catch (...) {
            rethrow_openvino(file);
        }
    }

    Settings settings_;
    std::list<Compiled> compiled_;  // the most recently used first
};

class OpenVinoBackend : public Backend {
public:
    OpenVinoBackend(std::shared_ptr<ov::Core> core, std::string device, int threads,
                    std::optional<std::string> precision)
        : core_(std::move(core)),
          device_(std::move(device)),
          threads_(threads),
          precision_(std::move(precision)) {
        const auto names = core_->get_property(device_, ov::device::capabilities);
        has_bf16_ = std::find(names.begin(), names.end(), "BF16") != names.end();
        if (precision_ == "bf16" && !has_bf16_) {
            throw UnsupportedError(device_ + " has no bf16 arithmetic (AVX512-BF16 or AMX); use " +
                                   "--precision fp32");
        }
    }

    std::string name() const override { return "openvino"; }
    std::vector<std::string> formats() const override { return {"openvino", "onnx"}; }
    int threads() const override { return threads_; }
    std::optional<std::string> precision() const override { return precision_; }

    std::shared_ptr<Backend> in_fp32(const Network& network) override {
        if (!is_bf16(network.stored)) {
            return nullptr;
        }
        return std::make_shared<OpenVinoBackend>(core_, device_, threads_, "fp32");
    }

    std::unique_ptr<Graph> open(Network network) override {
        Settings settings{core_, device_, threads_, is_bf16(network.stored)};
        return std::make_unique<OpenVinoGraph>(std::move(network), std::move(settings));
    }

private:
    // The graph itself says which kernels are integer; its float layers are fastest in bf16.
    bool is_bf16(const std::string& stored) const {
        return precision_.value_or(stored) != "fp32" && has_bf16_;
    }

    std::shared_ptr<ov::Core> core_;
    std::string device_;
    int threads_;
    std::optional<std::string> precision_;
    bool has_bf16_ = false;
};

std::string kind_of(const std::string& device) { return device.substr(0, device.find('.')); }

}  // namespace

std::shared_ptr<Backend> open_openvino(const std::string& device, int threads,
                                       std::optional<std::string> precision) {
    try {
        const auto core = std::make_shared<ov::Core>();
        // The CPU is always available; a search would load every plug-in.
        if (device != "CPU") {
            std::string available;
            bool is_available = false;
            for (const std::string& name : core->get_available_devices()) {
                available += (available.empty() ? "" : ", ") + name;
                is_available = is_available || kind_of(name) == kind_of(device);
            }
            if (!is_available) {
                throw UnsupportedError("OpenVINO finds no device " + sdrt::quoted(device) +
                                       "; it finds: " + available);
            }
        }
        return std::make_shared<OpenVinoBackend>(core, device, threads, std::move(precision));
    } catch (...) {
        rethrow_openvino("anything");
    }
}

}  // namespace sdrt
