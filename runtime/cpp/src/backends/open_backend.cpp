#include "backends/open_backend.hpp"

#include "backends/onnxruntime/backend.hpp"
#include "backends/openvino/backend.hpp"
#include "cores.hpp"
#include "errors.hpp"
#include "validation.hpp"

#include <algorithm>

namespace sdrt {
namespace {

const std::vector<std::string> kBackends = {"openvino", "onnxruntime"};  // the fastest first
const std::vector<std::string> kPrecisions = {"fp32", "bf16", "int8"};
constexpr std::int64_t kMaxThreads = 4096;

}  // namespace

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
        throw UnsupportedError(
            "this build of sdrt has no engine; configure it with "
            "-DSDRT_ONNXRUNTIME=ON or -DSDRT_OPENVINO=ON");
    }
    const std::string name = options.name.value_or(built.front());
    if (std::find(built.begin(), built.end(), name) == built.end()) {
        throw UnsupportedError("this build of sdrt has no " + name + "; it has: " + joined(built));
    }
    const int threads = options.threads ? static_cast<int>(*options.threads) : placement().threads;
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

}  // namespace sdrt
