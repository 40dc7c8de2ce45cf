// The C face: every exception becomes a code, every code has a message.
#define SDRT_C_ONLY
#include "sdrt.h"

#include "backends/backend.hpp"
#include "diagnostics/conformance/replay.hpp"
#include "diagnostics/info.hpp"
#include "errors.hpp"
#include "pipeline.hpp"
#include "validation.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>
#include <sstream>

struct sdrt_pipeline {
    sdrt_pipeline(const char* path, sdrt::LoadOptions options)
        : pipeline(path, std::move(options)), info(sdrt::describe(pipeline)) {}

    sdrt::Pipeline pipeline;
    std::string info;
    std::mutex is_busy;
    std::mutex is_changing;       // guards:
    sdrt::Cancellation* cancellation = nullptr;  // of the run that goes on
};

struct sdrt_image {
    sdrt::Image image;
    sdrt::Parameters parameters;
    std::string json;
};

struct sdrt_result {
    std::vector<sdrt_image> images;
    std::string warnings;
    std::string timings;
};

namespace {

// Cuts a text to what fits, not within a character of UTF-8.
void copy_text(const char* text, char* to, std::size_t room) {
    std::size_t length = std::min(std::strlen(text), room - 1);
    while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0U) == 0x80U) {
        --length;
    }
    std::memcpy(to, text, length);
    to[length] = '\0';
}

sdrt_code fail(sdrt_error* error, sdrt_code code, const char* message) noexcept {
    if (error != nullptr) {
        error->code = code;
        copy_text(message, error->message, sizeof(error->message));
    }
    return code;
}

// Does the work of one call.
template <class Work>
sdrt_code guarded(sdrt_error* error, const Work& work) noexcept {
    try {
        work();
        return fail(error, SDRT_OK, "");
    } catch (const sdrt::Error& failed) {
        return fail(error, static_cast<sdrt_code>(failed.code()), failed.what());
    } catch (const std::bad_alloc&) {
        return fail(error, SDRT_OUT_OF_MEMORY, "the machine has too little free memory");
    } catch (const std::exception& failed) {
        return fail(error, SDRT_FAILURE, failed.what());
    } catch (...) {
        return fail(error, SDRT_FAILURE, "an exception of an unknown kind");
    }
}

void require(const void* argument, const char* name) {
    if (argument == nullptr) {
        throw sdrt::UsageError(std::string(name) + " is NULL");
    }
}

// What a caller knows of a struct of options, over the defaults.
template <class T>
T completed(const T* given, void (*init)(T*)) {
    T all;
    init(&all);
    if (given == nullptr) {
        return all;
    }
    if (given->size < sizeof(std::size_t) || given->size > 4 * sizeof(T)) {
        throw sdrt::UsageError("options were not begun with their _init function");
    }
    std::memcpy(&all, given, std::min(given->size, sizeof(T)));
    return all;
}

std::optional<std::int64_t> whole(int value) {
    return value == SDRT_DEFAULT ? std::nullopt : std::optional<std::int64_t>(value);
}

bool flag(int value, const char* name) {
    return sdrt::check_whole(name, value, 0, 1) == 1;
}

std::optional<double> number(double value) {
    const bool is_default = !(value < SDRT_DEFAULT) && !(value > SDRT_DEFAULT) && value == value;
    return is_default ? std::nullopt : std::optional<double>(value);
}

std::optional<std::string> text(const char* value) {
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::set<std::string> names_in(const std::string& list) {
    std::istringstream words(list);
    std::set<std::string> names;
    for (std::string word; std::getline(words, word, ',');) {
        word.erase(std::remove(word.begin(), word.end(), ' '), word.end());
        if (!word.empty()) {
            names.insert(sdrt::check_known(
                "network", word, {"text_encoder", "text_encoder_2", "unet", "vae_decoder"}));
        }
    }
    return names;
}

sdrt::LoadOptions load_options(const sdrt_load_options* options) {
    const auto given = completed(options, sdrt_load_options_init);
    sdrt::LoadOptions made;
    made.engine = {text(given.backend), text(given.device), text(given.precision),
                   whole(given.threads)};
    if (given.keep != nullptr) {
        made.keep = names_in(given.keep);
    }
    made.retry_precision = flag(given.retry_precision, "retry_precision");
    return made;
}

sdrt::Options options_of(const sdrt_options* options) {
    require(options, "options");
    const auto given = completed(options, sdrt_options_init);
    require(given.prompt, "prompt");
    sdrt::Options made;
    made.prompt = given.prompt;
    made.negative_prompt = text(given.negative_prompt).value_or("");
    made.width = whole(given.width);
    made.height = whole(given.height);
    made.num_inference_steps = whole(given.num_inference_steps);
    made.num_images_per_prompt = whole(given.num_images_per_prompt).value_or(1);
    made.clip_skip = whole(given.clip_skip).value_or(1);
    made.guidance_split = flag(given.guidance_split, "guidance_split");
    made.guidance_scale = number(given.guidance_scale);
    made.guidance_rescale = number(given.guidance_rescale).value_or(0);
    made.guidance_start = number(given.guidance_start).value_or(0);
    made.guidance_end = number(given.guidance_end).value_or(1);
    if (given.seed != -1) {
        made.seed = given.seed;
    }
    made.sampler = text(given.sampler);
    made.scheduler = text(given.scheduler);
    made.spacing = text(given.spacing);
    return made;
}

// Makes a cancellation reachable for sdrt_cancel while it lives.
class Reachable {
public:
    Reachable(sdrt_pipeline& pipeline, sdrt::Cancellation& cancellation) : pipeline_(pipeline) { set(&cancellation); }
    ~Reachable() { set(nullptr); }
    Reachable(const Reachable&) = delete;
    Reachable& operator=(const Reachable&) = delete;

private:
    void set(sdrt::Cancellation* cancellation) {
        const std::lock_guard lock(pipeline_.is_changing);
        pipeline_.cancellation = cancellation;
    }

    sdrt_pipeline& pipeline_;
};

void show(const sdrt::Step& step, sdrt_step_callback callback, void* user) {
    const auto& shape = step.latents.shape;
    const auto size = [&shape](std::size_t i) { return static_cast<int>(shape[i]); };
    const sdrt_step shown{static_cast<int>(step.index),
                          static_cast<int>(step.count),
                          step.sigma,
                          step.seconds,
                          step.latents.data(),
                          step.denoised.data(),
                          size(0),
                          size(1),
                          size(2),
                          size(3)};
    if (callback(&shown, user) != 0) {
        throw sdrt::CancelledError("the callback cancelled the run after step " +
                                   std::to_string(step.index + 1) + " of " +
                                   std::to_string(step.count));
    }
}

std::unique_ptr<sdrt_result> result_of(sdrt::Result made) {
    auto result = std::make_unique<sdrt_result>();
    for (std::size_t i = 0; i < made.images.size(); ++i) {
        std::string json = made.parameters[i].to_json();
        result->images.push_back(
            {std::move(made.images[i]), std::move(made.parameters[i]), std::move(json)});
    }
    result->warnings = sdrt::joined(made.warnings, "\n");
    result->timings = made.timings.to_json();
    return result;
}

}  // namespace

const char* sdrt_code_name(sdrt_code code) {
    switch (code) {
        case SDRT_OK: return "";
        case SDRT_FAILURE: return "Failure";
        case SDRT_USAGE: return "UsageError";
        case SDRT_ARTIFACT: return "ArtifactError";
        case SDRT_PARITY: return "ParityError";
        case SDRT_WRITE: return "WriteError";
        case SDRT_NON_FINITE: return "NonFiniteError";
        case SDRT_OUT_OF_MEMORY: return "OutOfMemoryError";
        case SDRT_UNSUPPORTED: return "UnsupportedError";
        case SDRT_CANCELLED: return "CancelledError";
    }
    return "unknown";
}

const char* sdrt_version(void) { return SDRT_VERSION; }

const char* sdrt_backends(void) {
#if defined(SDRT_OPENVINO) && defined(SDRT_ONNXRUNTIME)
    return "openvino, onnxruntime";
#elif defined(SDRT_OPENVINO)
    return "openvino";
#elif defined(SDRT_ONNXRUNTIME)
    return "onnxruntime";
#else
    return "";
#endif
}

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

sdrt_code sdrt_load(const char* path, const sdrt_load_options* options, sdrt_pipeline** pipeline,
                    sdrt_error* error) {
    return guarded(error, [&] {
        require(pipeline, "pipeline");
        *pipeline = nullptr;
        require(path, "path");
        *pipeline = new sdrt_pipeline(path, load_options(options));
    });
}

void sdrt_pipeline_free(sdrt_pipeline* pipeline) { delete pipeline; }

const char* sdrt_pipeline_info(const sdrt_pipeline* pipeline) { return pipeline->info.c_str(); }

sdrt_code sdrt_generate(sdrt_pipeline* pipeline, const sdrt_options* options,
                        sdrt_step_callback callback, void* user, sdrt_result** result,
                        sdrt_error* error) {
    return guarded(error, [&] {
        require(result, "result");
        *result = nullptr;
        require(pipeline, "pipeline");
        const auto request = sdrt::resolve(pipeline->pipeline.manifest(), options_of(options));
        const std::lock_guard lock(pipeline->is_busy);
        sdrt::Cancellation cancellation;
        const Reachable reachable(*pipeline, cancellation);
        sdrt::Callback shown;
        if (callback != nullptr) {
            shown = [&](const sdrt::Step& step) { show(step, callback, user); };
        }
        *result = result_of(pipeline->pipeline.generate(request, cancellation, shown)).release();
    });
}

void sdrt_cancel(sdrt_pipeline* pipeline) {
    const std::lock_guard lock(pipeline->is_changing);
    if (pipeline->cancellation != nullptr) {
        pipeline->cancellation->request();
    }
}

void sdrt_result_free(sdrt_result* result) { delete result; }

int sdrt_result_count(const sdrt_result* result) { return static_cast<int>(result->images.size()); }

const sdrt_image* sdrt_result_image(const sdrt_result* result, int index) {
    const bool is_there = index >= 0 && index < sdrt_result_count(result);
    return is_there ? &result->images[static_cast<std::size_t>(index)] : nullptr;
}

const char* sdrt_result_warnings(const sdrt_result* result) { return result->warnings.c_str(); }

const char* sdrt_result_timings(const sdrt_result* result) { return result->timings.c_str(); }

int sdrt_image_width(const sdrt_image* image) { return image->image.width; }

int sdrt_image_height(const sdrt_image* image) { return image->image.height; }

const uint8_t* sdrt_image_pixels(const sdrt_image* image) { return image->image.pixels.data(); }

uint64_t sdrt_image_seed(const sdrt_image* image) {
    return static_cast<std::uint64_t>(image->parameters.seed);
}

const char* sdrt_image_parameters(const sdrt_image* image) { return image->json.c_str(); }

sdrt_code sdrt_image_save(const sdrt_image* image, const char* path, sdrt_error* error) {
    return guarded(error, [&] {
        require(image, "image");
        require(path, "path");
        sdrt::save_png(image->image, path, &image->parameters);
    });
}

sdrt_code sdrt_conformance(sdrt_pipeline* pipeline, const char* golden,
                           sdrt_check_callback callback, void* user, sdrt_error* error) {
    return guarded(error, [&] {
        require(pipeline, "pipeline");
        require(golden, "golden");
        const std::lock_guard lock(pipeline->is_busy);
        sdrt::replay(pipeline->pipeline, golden, [&](const sdrt::Finding& finding) {
            if (callback != nullptr) {
                const sdrt_check check{finding.name.c_str(), finding.stage.c_str(),
                                       finding.measure.c_str(), finding.found, finding.limit,
                                       finding.is_within() ? 1 : 0};
                callback(&check, user);
            }
        });
    });
}
