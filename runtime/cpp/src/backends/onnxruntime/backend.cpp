#include "backends/onnxruntime/backend.hpp"

#include "errors.hpp"

#define ORT_API_MANUAL_INIT  // nobody could catch what a header throws before main()
#include <onnxruntime_cxx_api.h>

#include <new>
#include <sstream>

namespace sdrt {
namespace {

// The first line of the engine's message that is not blank.
std::string first_line(const std::string& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.find_first_not_of(" \t\r") != std::string::npos) {
            return line;
        }
    }
    return "no message";
}

// Translates the engine's exception that is being handled; `what` is the network or its file.
[[noreturn]] void rethrow_ort(const std::string& what) {
    std::string text;
    try {
        throw;
    } catch (const Error&) {
        throw;
    } catch (const std::bad_alloc&) {
        throw OutOfMemoryError("onnxruntime could not allocate memory for " + what);
    } catch (const std::exception& error) {
        text = error.what();
    }
    if (text.find("terminate flag") != std::string::npos) {
        throw CancelledError(what + " was cancelled");
    }
    const bool is_memory = text.find("Failed to allocate") != std::string::npos ||
                           text.find("bad_alloc") != std::string::npos;
    if (is_memory) {
        throw OutOfMemoryError("onnxruntime could not allocate memory for " + what + ": " +
                               first_line(text));
    }
    throw ArtifactError("onnxruntime cannot run " + what + ": " + first_line(text));
}

void start_api() {
    const OrtApi* api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (api == nullptr) {
        throw UnsupportedError(std::string("the library of ONNX Runtime is version ") +
                               OrtGetApiBase()->GetVersionString() + ", this host needs 1." +
                               std::to_string(ORT_API_VERSION) + " or newer");
    }
    Ort::InitApi(api);
}

// One inference session, which serves all shapes. Float networks run in fp32 however they are
// stored, because the provider has no bf16 kernels. Only a profile, which Python's sdrt takes,
// shows which layers of an int8 network became integer kernels.
class OrtGraph : public Graph {
public:
    OrtGraph(Network network_files, Ort::Env& env, int threads) : Graph(std::move(network_files)) {
        Ort::SessionOptions options;
        options.SetIntraOpNumThreads(threads);
        options.SetInterOpNumThreads(1);
        options.SetExecutionMode(ORT_SEQUENTIAL);
        // The arena never gives memory back, and a step is as fast without it.
        options.DisableCpuMemArena();
        options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_ERROR);
        const auto& file = network().files.front();
        try {
            session_ = Ort::Session(env, file.c_str(), options);
        } catch (...) {
            rethrow_ort(file.string());
        }
    }

    Executed executed() const override {
        return executed_only(network().stored == "int8" ? "unknown" : "fp32");
    }

protected:
    Outputs execute(const Feeds& feeds, const std::vector<std::string>& outputs,
                    Cancellation& cancellation) override {
        try {
            return run_session(feeds, outputs, cancellation);
        } catch (...) {
            rethrow_ort(network().name);
        }
    }

private:
    Outputs run_session(const Feeds& feeds, const std::vector<std::string>& outputs,
                        Cancellation& cancellation) {
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
        std::vector<const char*> input_names;
        std::vector<Ort::Value> inputs;
        for (const TensorSpec& spec : network().spec.inputs) {
            const Feed& feed = feeds.at(spec.name);
            const std::size_t size = count(feed.shape);
            input_names.push_back(spec.name.c_str());
            // The engine only reads its inputs.
            void* values = const_cast<void*>(feed.values);
            if (spec.dtype == "int64") {
                inputs.push_back(Ort::Value::CreateTensor(memory,
                                                          static_cast<std::int64_t*>(values), size,
                                                          feed.shape.data(), feed.shape.size()));
            } else {
                inputs.push_back(Ort::Value::CreateTensor(memory, static_cast<float*>(values), size,
                                                          feed.shape.data(), feed.shape.size()));
            }
        }
        std::vector<const char*> output_names;
        for (const std::string& name : outputs) {
            output_names.push_back(name.c_str());
        }
        Ort::RunOptions options;
        std::vector<Ort::Value> values;
        {
            const Cancellation::Callback callback(cancellation,
                                                  [&options] { options.SetTerminate(); });
            values = session_.Run(options, input_names.data(), inputs.data(), inputs.size(),
                                  output_names.data(), output_names.size());
        }
        Outputs results;
        for (std::size_t i = 0; i < outputs.size(); ++i) {
            const auto info = values[i].GetTensorTypeAndShapeInfo();
            if (info.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
                throw ArtifactError(network().name + " gives " + outputs[i] +
                                    " in another type than float32; export the model again");
            }
            const float* data = values[i].GetTensorData<float>();
            results[outputs[i]] = Tensor(info.GetShape(), {data, data + info.GetElementCount()});
        }
        return results;
    }

    Ort::Session session_{nullptr};
};

class OrtBackend : public Backend {
public:
    OrtBackend(int threads, std::optional<std::string> precision)
        : threads_(threads),
          precision_(std::move(precision)) {}

    std::string name() const override { return "onnxruntime"; }
    std::vector<std::string> formats() const override { return {"onnx"}; }
    int threads() const override { return threads_; }
    std::optional<std::string> precision() const override { return precision_; }
    std::shared_ptr<Backend> in_fp32(const Network& /*network*/) override { return nullptr; }
    std::unique_ptr<Graph> open(Network network) override {
        return std::make_unique<OrtGraph>(std::move(network), env_, threads_);
    }

private:
    Ort::Env env_{ORT_LOGGING_LEVEL_ERROR, "sdrt"};
    int threads_;
    std::optional<std::string> precision_;
};

}  // namespace

std::shared_ptr<Backend> open_onnxruntime(int threads, std::optional<std::string> precision) {
    try {
        start_api();
        return std::make_shared<OrtBackend>(threads, std::move(precision));
    } catch (...) {
        rethrow_ort("anything");
    }
}

}  // namespace sdrt
