#include "api_options.hpp"

#include "errors.hpp"
#include "validation.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <sstream>
#include <string>

namespace sdrt {
namespace {

// The fields that the caller's version of a struct has, over the defaults of `init`.
template <class T>
T completed(const T* caller_options, void (*init)(T*)) {
    T options;
    init(&options);
    if (caller_options == nullptr) {
        return options;
    }
    if (caller_options->size < sizeof(std::size_t) || caller_options->size > 4 * sizeof(T)) {
        throw UsageError("options were not begun with their _init function");
    }
    std::memcpy(&options, caller_options, std::min(caller_options->size, sizeof(T)));
    return options;
}

std::optional<std::int64_t> optional_whole(int value) {
    return value == SDRT_DEFAULT ? std::nullopt : std::optional<std::int64_t>(value);
}

std::optional<double> optional_number(double value) {
    const bool is_default = !(value < SDRT_DEFAULT) && !(value > SDRT_DEFAULT) && value == value;
    return is_default ? std::nullopt : std::optional<double>(value);
}

std::optional<std::string> optional_text(const char* value) {
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

bool flag(int value, const char* name) { return check_whole(name, value, 0, 1) == 1; }

// The names of networks in a list such as "unet, vae_decoder".
std::set<std::string> network_names(const std::string& list) {
    std::istringstream stream(list);
    std::set<std::string> names;
    for (std::string name; std::getline(stream, name, ',');) {
        name.erase(std::remove(name.begin(), name.end(), ' '), name.end());
        if (!name.empty()) {
            names.insert(check_known("network", name,
                                     {"text_encoder", "text_encoder_2", "unet", "vae_decoder"}));
        }
    }
    return names;
}

}  // namespace

void require(const void* argument, const char* name) {
    if (argument == nullptr) {
        throw UsageError(std::string(name) + " is NULL");
    }
}

LoadOptions load_options_from(const sdrt_load_options* options) {
    const auto c_options = completed(options, sdrt_load_options_init);
    LoadOptions load;
    load.engine = {optional_text(c_options.backend), optional_text(c_options.device),
                   optional_text(c_options.precision), optional_whole(c_options.threads)};
    if (c_options.keep != nullptr) {
        load.keep = network_names(c_options.keep);
    }
    load.retry_precision = flag(c_options.retry_precision, "retry_precision");
    return load;
}

Options options_from(const sdrt_options* options) {
    require(options, "options");
    const auto c_options = completed(options, sdrt_options_init);
    require(c_options.prompt, "prompt");
    Options converted;
    converted.prompt = c_options.prompt;
    converted.negative_prompt = optional_text(c_options.negative_prompt).value_or("");
    converted.width = optional_whole(c_options.width);
    converted.height = optional_whole(c_options.height);
    converted.num_inference_steps = optional_whole(c_options.num_inference_steps);
    converted.num_images_per_prompt = optional_whole(c_options.num_images_per_prompt).value_or(1);
    converted.clip_skip = optional_whole(c_options.clip_skip).value_or(1);
    converted.guidance_split = flag(c_options.guidance_split, "guidance_split");
    converted.guidance_scale = optional_number(c_options.guidance_scale);
    converted.guidance_rescale = optional_number(c_options.guidance_rescale).value_or(0);
    converted.guidance_start = optional_number(c_options.guidance_start).value_or(0);
    converted.guidance_end = optional_number(c_options.guidance_end).value_or(1);
    if (c_options.seed != -1) {
        converted.seed = c_options.seed;
    }
    converted.sampler = optional_text(c_options.sampler);
    converted.scheduler = optional_text(c_options.scheduler);
    converted.spacing = optional_text(c_options.spacing);
    converted.speed = optional_text(c_options.speed);
    return converted;
}

}  // namespace sdrt

void sdrt_load_options_init(sdrt_load_options* options) {
    *options = sdrt_load_options{};
    options->size = sizeof(*options);
    options->threads = SDRT_DEFAULT;
    options->retry_precision = 1;
}

void sdrt_options_init(sdrt_options* options) {
    *options = sdrt_options{};
    options->size = sizeof(*options);
    options->negative_prompt = "";
    options->width = options->height = SDRT_DEFAULT;
    options->num_inference_steps = options->num_images_per_prompt = options->clip_skip =
        SDRT_DEFAULT;
    options->guidance_scale = options->guidance_rescale = SDRT_DEFAULT;
    options->guidance_start = options->guidance_end = SDRT_DEFAULT;
    options->seed = -1;
}
