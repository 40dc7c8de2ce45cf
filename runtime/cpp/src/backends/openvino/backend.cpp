// OpenVINO: static graphs for each requested shape, in an explicit precision.
#include "backends/backend.hpp"
#include "backends/openvino/fp32_layers.hpp"
#include "backends/openvino/kernels.hpp"
#include "backends/openvino/mapped_weights.hpp"
#include "errors.hpp"

#include <openvino/openvino.hpp>
#include <openvino/runtime/exception.hpp>

#include <algorithm>
#include <list>
#include <new>

namespace sdrt {
namespace {

constexpr std::size_t kMaxShapes = 2;  // compiled forms kept: with and without guidance, or two sizes

// Throws the sdrt error that an exception of the engine means, `what` being the network or its file.
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
    if (text.find("bad_alloc") != std::string::npos ||
        text.find("allocate") != std::string::npos) {
        throw OutOfMemoryError("OpenVINO could not allocate memory for " + what + ": " +
                               last_line(text));
    }
    throw ArtifactError("OpenVINO cannot run " + what + ": " + last_line(text));
}

ov::Tensor view(const Feed& feed, const std::string& dtype) {
    // The engine only reads what it is given.
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

// A network for one set of shapes; in bf16 with its ends in fp32.
struct Compiled {
    Shapes shapes;
    ov::CompiledModel model;
    ov::InferRequest request;
    std::optional<Head> head;
    std::optional<Tail> tail;
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
    OpenVinoGraph(Network opened, Settings settings)
        : Graph(std::move(opened)), settings_(std::move(settings)) {
        read();  // a file that cannot be read is found now and not at the first step
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
    Outputs execute(const Feeds& feeds, const std::vector<std::string>& asked,
                    Stop& stop) override {
        Shapes shapes;
        OvFeeds views;
        for (const TensorSpec& spec : network().spec.inputs) {
            const Feed& feed = feeds.at(spec.name);
            shapes.emplace(spec.name, feed.shape);
            views.emplace(spec.name, view(feed, spec.dtype));
        }
        Compiled& compiled = find(shapes);
        try {
            return infer(compiled, views, asked, stop);
        } catch (...) {
            rethrow_openvino(network().name);
        }
    }

private:
    Outputs infer(Compiled& compiled, const OvFeeds& views, const std::vector<std::string>& asked,
                  Stop& stop) {
        ov::InferRequest& request = compiled.request;
        for (const auto& [name, tensor] : compiled.head ? compiled.head->complete(views) : views) {
            request.set_tensor(name, tensor);
        }
        request.start_async();
        {
            // Only now, because a request that has not started cannot be cancelled.
            const Stop::Interrupts interrupts(stop, [&request] { request.cancel(); });
            request.wait();
        }
        std::optional<ov::Tensor> end;
        if (compiled.tail) {
            end = compiled.tail->infer(request);
        }
        Outputs outputs;
        for (const std::string& name : asked) {
            const bool is_cut = end && compiled.tail->names.count(name) > 0;
            outputs[name] = copied(is_cut ? *end : request.get_tensor(name),
                                   network().name + "'s " + name);
        }
        return outputs;
    }

    Compiled& find(const Shapes& shapes) {
        const auto known = std::find_if(compiled_.begin(), compiled_.end(), [&](const auto& one) {
            return one.shapes == shapes;
        });
        if (known != compiled_.end()) {
            compiled_.splice(compiled_.begin(), compiled_, known);
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
            Compiled made;
            made.shapes = shapes;
            const auto& files = network().files;
            const DroppingPages dropping({files.begin() + 1, files.end()});
            std::shared_ptr<ov::Model> model = read();
            std::map<std::string, ov::PartialShape> sizes;
            for (const auto& [name, shape] : shapes) {
                sizes[name] = ov::PartialShape(std::vector<ov::Dimension>(shape.begin(), shape.end()));
            }
            model->reshape(sizes);
            if (settings_.is_bf16) {
                made.head = cut_head(*settings_.core, model);
                made.tail = cut_tail(*settings_.core, model);
            }
            made.layers = layer_macs(*model);
            // Never left to OpenVINO, which takes bf16 for fp32 networks wherever it can.
            ov::AnyMap properties = {
                ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
                ov::hint::inference_precision(settings_.is_bf16 ? ov::element::bf16
                                                                : ov::element::f32)};
            if (settings_.device == "CPU") {
                properties.insert(ov::inference_num_threads(settings_.threads));
                // Where only a layer's weights are integers, its input would be rounded too, unsaid.
                properties.insert(ov::hint::dynamic_quantization_group_size(0));
            }
            made.model = settings_.core->compile_model(model, settings_.device, properties);
            made.request = made.model.create_infer_request();
            return made;
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
    std::list<Compiled> compiled_;  // the last used first
};

class OpenVinoBackend : public Backend {
public:
    OpenVinoBackend(std::shared_ptr<ov::Core> core, std::string device, int threads,
                    std::optional<std::string> precision)
        : core_(std::move(core)),
          device_(std::move(device)),
          threads_(threads),
          precision_(std::move(precision)) {
        const auto found = core_->get_property(device_, ov::device::capabilities);
        has_bf16_ = std::find(found.begin(), found.end(), "BF16") != found.end();
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
    // Integer kernels come from the graph itself; what remains in float is fastest in bf16.
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
        // The processor is there without a search, which wakes up every plug-in.
        if (device != "CPU") {
            std::string found;
            bool is_there = false;
            for (const std::string& one : core->get_available_devices()) {
                found += (found.empty() ? "" : ", ") + one;
                is_there = is_there || kind_of(one) == kind_of(device);
            }
            if (!is_there) {
                throw UnsupportedError("OpenVINO finds no device " + sdrt::quoted(device) +
                                       "; it finds: " + found);
            }
        }
        return std::make_shared<OpenVinoBackend>(core, device, threads, std::move(precision));
    } catch (...) {
        rethrow_openvino("anything");
    }
}

}  // namespace sdrt
