// The C API: every exception becomes a code with a message.
#include "api_options.hpp"

#include "backends/open_backend.hpp"
#include "diagnostics/conformance/replay.hpp"
#include "diagnostics/info.hpp"
#include "errors.hpp"
#include "images/png.hpp"
#include "pipeline.hpp"
#include "request/resolve.hpp"
#include "validation.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

struct sdrt_pipeline {
    sdrt_pipeline(const char* path, const sdrt::LoadOptions& options)
        : pipeline(path, options),
          info(sdrt::info_json(pipeline)) {}

    sdrt::Pipeline pipeline;
    std::string info;
    std::mutex run_mutex;  // held by the call that uses the pipeline
    std::mutex cancellation_mutex;
    sdrt::Cancellation* cancellation = nullptr;  // of the current run
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

// Copies a text and cuts it to the size of the buffer, but not within a UTF-8 character.
void copy_text(const char* text, char* buffer, std::size_t size) {
    std::size_t length = std::min(std::strlen(text), size - 1);
    while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0U) == 0x80U) {
        --length;
    }
    std::memcpy(buffer, text, length);
    buffer[length] = '\0';
}

sdrt_code fail(sdrt_error* error, sdrt_code code, const char* message) noexcept {
    if (error != nullptr) {
        error->code = code;
        copy_text(message, error->message, sizeof(error->message));
    }
    return code;
}

// Does the work of an API call and turns its exceptions into codes.
template <class Work>
sdrt_code run_guarded(sdrt_error* error, const Work& work) noexcept {
    try {
        work();
        return fail(error, SDRT_OK, "");
    } catch (const sdrt::Error& exception) {
        return fail(error, static_cast<sdrt_code>(exception.code()), exception.what());
    } catch (const std::bad_alloc&) {
        return fail(error, SDRT_OUT_OF_MEMORY, "the machine has too little free memory");
    } catch (const std::exception& exception) {
        return fail(error, SDRT_FAILURE, exception.what());
    } catch (...) {
        return fail(error, SDRT_FAILURE, "an exception of an unknown kind");
    }
}

// While it lives, sdrt_cancel requests this cancellation.
class CancellableRun {
public:
    CancellableRun(sdrt_pipeline& pipeline, sdrt::Cancellation& cancellation)
        : pipeline_(pipeline) {
        set(&cancellation);
    }
    ~CancellableRun() { set(nullptr); }
    CancellableRun(const CancellableRun&) = delete;
    CancellableRun& operator=(const CancellableRun&) = delete;

private:
    void set(sdrt::Cancellation* cancellation) {
        const std::lock_guard lock(pipeline_.cancellation_mutex);
        pipeline_.cancellation = cancellation;
    }

    sdrt_pipeline& pipeline_;
};

void call_back(const sdrt::Step& step, sdrt_step_callback callback, void* user) {
    const auto& shape = step.latents.shape;
    const auto size = [&shape](std::size_t i) { return static_cast<int>(shape[i]); };
    const sdrt_step c_step{static_cast<int>(step.index),
                           static_cast<int>(step.count),
                           step.sigma,
                           step.seconds,
                           step.latents.data(),
                           step.denoised.data(),
                           size(0),
                           size(1),
                           size(2),
                           size(3)};
    if (callback(&c_step, user) != 0) {
        throw sdrt::CancelledError("the callback cancelled the run after step " +
                                   std::to_string(step.index + 1) + " of " +
                                   std::to_string(step.count));
    }
}

std::unique_ptr<sdrt_result> result_from(sdrt::Result result) {
    auto converted = std::make_unique<sdrt_result>();
    for (std::size_t i = 0; i < result.images.size(); ++i) {
        std::string json = result.parameters[i].to_json();
        converted->images.push_back(
            {std::move(result.images[i]), std::move(result.parameters[i]), std::move(json)});
    }
    converted->warnings = sdrt::joined(result.warnings, "\n");
    converted->timings = result.timings.to_json();
    return converted;
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
    static const std::string names = sdrt::joined(sdrt::built_backends());
    return names.c_str();
}

sdrt_code sdrt_load(const char* path, const sdrt_load_options* options, sdrt_pipeline** pipeline,
                    sdrt_error* error) {
    return run_guarded(error, [&] {
        sdrt::require(pipeline, "pipeline");
        *pipeline = nullptr;
        sdrt::require(path, "path");
        *pipeline = new sdrt_pipeline(path, sdrt::load_options_from(options));
    });
}

void sdrt_pipeline_free(sdrt_pipeline* pipeline) { delete pipeline; }

const char* sdrt_pipeline_info(const sdrt_pipeline* pipeline) { return pipeline->info.c_str(); }

sdrt_code sdrt_generate(sdrt_pipeline* pipeline, const sdrt_options* options,
                        sdrt_step_callback callback, void* user, sdrt_result** result,
                        sdrt_error* error) {
    return run_guarded(error, [&] {
        sdrt::require(result, "result");
        *result = nullptr;
        sdrt::require(pipeline, "pipeline");
        const auto request =
            sdrt::resolve(pipeline->pipeline.manifest(), sdrt::options_from(options));
        const std::lock_guard lock(pipeline->run_mutex);
        sdrt::Cancellation cancellation;
        const CancellableRun cancellable(*pipeline, cancellation);
        sdrt::Callback on_step;
        if (callback != nullptr) {
            on_step = [&](const sdrt::Step& step) { call_back(step, callback, user); };
        }
        *result =
            result_from(pipeline->pipeline.generate(request, cancellation, on_step)).release();
    });
}

void sdrt_cancel(sdrt_pipeline* pipeline) {
    const std::lock_guard lock(pipeline->cancellation_mutex);
    if (pipeline->cancellation != nullptr) {
        pipeline->cancellation->request();
    }
}

void sdrt_result_free(sdrt_result* result) { delete result; }

int sdrt_result_count(const sdrt_result* result) { return static_cast<int>(result->images.size()); }

const sdrt_image* sdrt_result_image(const sdrt_result* result, int index) {
    const bool is_in_range = index >= 0 && index < sdrt_result_count(result);
    return is_in_range ? &result->images[static_cast<std::size_t>(index)] : nullptr;
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
    return run_guarded(error, [&] {
        sdrt::require(image, "image");
        sdrt::require(path, "path");
        sdrt::save_png(image->image, path, &image->parameters);
    });
}

sdrt_code sdrt_conformance(sdrt_pipeline* pipeline, const char* golden,
                           sdrt_check_callback callback, void* user, sdrt_error* error) {
    return run_guarded(error, [&] {
        sdrt::require(pipeline, "pipeline");
        sdrt::require(golden, "golden");
        const std::lock_guard lock(pipeline->run_mutex);
        sdrt::replay(pipeline->pipeline, golden, [&](const sdrt::Finding& finding) {
            if (callback != nullptr) {
                const sdrt::Difference& difference = finding.difference;
                const sdrt_check check{finding.case_name.c_str(),  finding.stage.c_str(),
                                       difference.measure.c_str(), difference.value,
                                       difference.limit,           difference.is_within() ? 1 : 0};
                callback(&check, user);
            }
        });
    });
}
