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
T completed(const T* given, void (*init)(T*)) {
    T options;
    init(&options);
    if (given == nullptr) {
        return options;
    }
    if (given->size < sizeof(std::size_t) || given->size > 4 * sizeof(T)) {
        throw UsageError("options were not begun with their _init function");
    }
    std::memcpy(&options, given, std::min(given->size, sizeof(T)));
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
    const auto given = completed(options, sdrt_load_options_init);
    LoadOptions load;
    load.engine = {optional_text(given.backend), optional_text(given.device),
                   optional_text(given.precision), optional_whole(given.threads)};
    if (given.keep != nullptr) {
        load.keep = network_names(given.keep);
    }
    load.retry_precision = flag(given.retry_precision, "retry_precision");
    return load;
}

Options options_from(const sdrt_options* options) {
    require(options, "options");
    const auto given = completed(options, sdrt_options_init);
    require(given.prompt, "prompt");
    Options converted;
    converted.prompt = given.prompt;
    converted.negative_prompt = optional_text(given.negative_prompt).value_or("");
    converted.width = optional_whole(given.width);
    converted.height = optional_whole(given.height);
    converted.num_inference_steps = optional_whole(given.num_inference_steps);
    converted.num_images_per_prompt = optional_whole(given.num_images_per_prompt).value_or(1);
    converted.clip_skip = optional_whole(given.clip_skip).value_or(1);
    converted.guidance_split = flag(given.guidance_split, "guidance_split");
    converted.guidance_scale = optional_number(given.guidance_scale);
    converted.guidance_rescale = optional_number(given.guidance_rescale).value_or(0);
    converted.guidance_start = optional_number(given.guidance_start).value_or(0);
    converted.guidance_end = optional_number(given.guidance_end).value_or(1);
    if (given.seed != -1) {
        converted.seed = given.seed;
    }
    converted.sampler = optional_text(given.sampler);
    converted.scheduler = optional_text(given.scheduler);
    converted.spacing = optional_text(given.spacing);
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
