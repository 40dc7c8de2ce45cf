#include "commands.hpp"

#include "cores.hpp"
#include "errors.hpp"

#include <algorithm>

namespace sdrt::host {

bool wants_help(const Words& words) {
    const auto end = std::find(words.begin(), words.end(), "--");
    return std::any_of(words.begin(), end,
                       [](const std::string& word) { return word == "--help" || word == "-h"; });
}

std::vector<Option> engine_options() {
    return {
        {{"--model", "-m"}, "PATH", "Model folder, made by: sdrt export."},
        {{"--backend"}, "NAME", "openvino or onnxruntime; default: the fastest of this build."},
        {{"--device"}, "NAME", "The engine's device, for example CPU or GPU."},
        {{"--threads", "-t"}, "N", "Default: one for each core that suits: no slow or far ones."},
        {{"--precision"}, "NAME", "What the engine should execute: fp32, bf16 or int8."},
        {{"--retry-precision"},
         "",
         "Run a network that gives NaN or infinity in bf16 again in fp32"},
        {{"--no-retry-precision"}, "", "(default), or do not."},
    };
}

LoadOptions load_options(const Arguments& arguments) {
    const auto cores = placement();
    if (cores.is_part && !arguments.text("--threads")) {
        take(cores);
    }
    LoadOptions options;
    options.engine = {arguments.text("--backend"), arguments.text("--device"),
                      arguments.text("--precision"), arguments.whole("--threads")};
    options.retry_precision = !arguments.has("--no-retry-precision");
    options.keep = {};  // a single run uses each network once
    return options;
}

std::string model_path(const Arguments& arguments) {
    const auto path = arguments.text("--model");
    if (!path) {
        throw UsageError("no model was given; name its folder with --model");
    }
    return *path;
}

}  // namespace sdrt::host
