/* sdrt: Stable Diffusion on CPUs, for programs in C and C++.
 *
 *     sdrt_pipeline *pipeline = NULL;
 *     sdrt_result *result = NULL;
 *     sdrt_options options;
 *     sdrt_error error;
 *     sdrt_options_init(&options);
 *     options.prompt = "a red boat on the sea at sunset";
 *     if (sdrt_load("models/sd15", NULL, &pipeline, &error) != SDRT_OK ||
 *         sdrt_generate(pipeline, &options, NULL, NULL, &result, &error) != SDRT_OK ||
 *         sdrt_image_save(sdrt_result_image(result, 0), "picture.png", &error) != SDRT_OK)
 *         fprintf(stderr, "%s\n", error.message);
 *     sdrt_result_free(result);
 *     sdrt_pipeline_free(pipeline);
 *
 * C++ finds classes at the end of this file that do the same and throw.
 *
 * Names, meanings and defaults are those of the Python runtime, and so are the pictures: same model
 * folder, prompt, seed and sampler give the same noise bit for bit, and the same picture up to
 * numerical precision.
 *
 * Texts are UTF-8 and end with a zero. A pipeline and a result are freed by whoever asked for them
 * (`sdrt_pipeline_free`, `sdrt_result_free`, which take NULL); everything else that a function gives
 * belongs to the object that it was asked of, and lives as long as that. There is no global state: any
 * number of pipelines work side by side. No exception leaves a function; your callbacks must not throw.
 */
#ifndef SDRT_H
#define SDRT_H

#include <stddef.h>
#include <stdint.h>

#if defined(SDRT_BUILDS) || !defined(_WIN32)
#define SDRT_API __attribute__((visibility("default")))
#else
#define SDRT_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Errors ---------------------------------------------------------------------------------- */

/* What went wrong. The numbers are the exit codes of `sdrt` and `sdrt-host`. */
typedef enum sdrt_code {
    SDRT_OK = 0,
    SDRT_FAILURE = 1,      /* a defect of sdrt: please report it */
    SDRT_USAGE = 2,        /* an argument is wrong; the message names it and what is allowed */
    SDRT_ARTIFACT = 3,     /* a model folder is missing, of another kind, corrupt or incomplete */
    SDRT_PARITY = 4,       /* a stage differs from the golden file by more than it may */
    SDRT_WRITE = 5,        /* a file could not be written: no space, or no permission */
    SDRT_NON_FINITE = 6,   /* a network gave NaN or infinity */
    SDRT_OUT_OF_MEMORY = 7,
    SDRT_UNSUPPORTED = 9,  /* an architecture, precision, sampler or device that is not there */
    SDRT_CANCELLED = 10    /* somebody cancelled */
} sdrt_code;

/* Filled in by functions that fail. Every `error` argument may be NULL. */
typedef struct sdrt_error {
    sdrt_code code;
    char message[1024]; /* one sentence: what was found, what was expected, what to do; cut if longer */
} sdrt_error;

/* The name of a code, as Python and `--json` have it: "UsageError". */
SDRT_API const char *sdrt_code_name(sdrt_code code);

/* "0.1.0" */
SDRT_API const char *sdrt_version(void);

/* The engines that this library was built with, fastest first: "openvino, onnxruntime". */
SDRT_API const char *sdrt_backends(void);

/* ---- Opening a model ------------------------------------------------------------------------- */

typedef struct sdrt_pipeline sdrt_pipeline;

/* Stands for "not given" in numbers: the model's or the engine's own value is taken. */
#define SDRT_DEFAULT (-2147483647 - 1)

/* Always begin with sdrt_load_options_init. Later versions add fields at the end; `size` tells which
 * of them the caller knows. */
typedef struct sdrt_load_options {
    size_t size;
    const char *backend;   /* "openvino" or "onnxruntime"; NULL: the fastest */
    const char *device;    /* OpenVINO's name of a device: "CPU", "GPU"; NULL: "CPU" */
    const char *precision; /* what the engine should execute, "fp32", "bf16" or "int8"; NULL: what
                              the model stores, where the engine can */
    int threads;           /* of the engine; default: the physical cores this process may use */
    const char *keep;      /* networks that stay in memory between pictures, the others load each time;
                              default "unet,vae_decoder"; "" takes the least memory */
    int retry_precision;   /* default 1: a network that gives NaN or infinity runs again in fp32 */
} sdrt_load_options;

SDRT_API void sdrt_load_options_init(sdrt_load_options *options);

/* Opens a folder that `sdrt export` made. Only the manifest and the tokenizer are read and checked;
 * a network is checked (size, SHA-256), loaded and compiled when it is first needed. `options` may be
 * NULL. */
SDRT_API sdrt_code sdrt_load(const char *path, const sdrt_load_options *options,
                             sdrt_pipeline **pipeline, sdrt_error *error);

/* Not while another thread is inside sdrt_generate with it. Results outlive their pipeline. */
SDRT_API void sdrt_pipeline_free(sdrt_pipeline *pipeline);

/* The model as JSON: its manifest, with `path`, `hash`, `backend` and `threads` beside it. */
SDRT_API const char *sdrt_pipeline_info(const sdrt_pipeline *pipeline);

/* ---- Making pictures ------------------------------------------------------------------------- */

typedef struct sdrt_result sdrt_result;
typedef struct sdrt_image sdrt_image;

/* Always begin with sdrt_options_init, which leaves everything to the model but the prompt. */
typedef struct sdrt_options {
    size_t size;
    const char *prompt;           /* A1111's weights work: (word:1.3), [word] */
    const char *negative_prompt;  /* default ""; without effect where there is no guidance */
    int width;                    /* pixels, multiples of the model's downscale, which is 8 */
    int height;
    int num_inference_steps;
    int num_images_per_prompt;    /* default 1; image i has seed + i */
    int clip_skip;                /* layer of the text encoder, from the end; default 1, the last */
    int guidance_split;           /* 1: both halves of a guided step in turn, with less memory */
    double guidance_scale;        /* up to 1 there is no guidance and a step costs half */
    double guidance_rescale;      /* 0..1 */
    double guidance_start;        /* guide only from this share of the steps, 0..1, */
    double guidance_end;          /* to this; the others cost half */
    int64_t seed;                 /* 0..2^63-1; -1, the default, draws one */
    const char *sampler;          /* "ddim", "euler", "euler_a", "dpm++2m", "unipc", "lcm" */
    const char *scheduler;        /* "default" or "karras" */
    const char *spacing;          /* "leading", "trailing" or "linspace" */
    const char *speed;            /* preset: "exact", the model's own; "balanced"; "fast" */
} sdrt_options;

SDRT_API void sdrt_options_init(sdrt_options *options);

/* One step that was just done. The arrays belong to the run and change with the next step:
 * (images, channels, height / 8, width / 8), images slowest. */
typedef struct sdrt_step {
    int index; /* from 0 */
    int count;
    double sigma; /* noise level of `latents` */
    double seconds;
    const float *latents;
    const float *denoised; /* the present guess at the clean latents */
    int images, channels, height, width;
} sdrt_step;

/* Called after each step, in the thread that called sdrt_generate. Anything but 0 cancels. */
typedef int (*sdrt_step_callback)(const sdrt_step *step, void *user);

/* Makes pictures. `callback` may be NULL. One pipeline makes one result at a time: a second thread
 * waits for the first, and a callback must not call this with its own pipeline. */
SDRT_API sdrt_code sdrt_generate(sdrt_pipeline *pipeline, const sdrt_options *options,
                                 sdrt_step_callback callback, void *user, sdrt_result **result,
                                 sdrt_error *error);

/* Stops what sdrt_generate is doing with this pipeline, also inside a network; it then gives
 * SDRT_CANCELLED. Any thread may call this. Without a run there is nothing to stop, and the next run
 * is not affected. Only loading and compiling a network go on to their end. */
SDRT_API void sdrt_cancel(sdrt_pipeline *pipeline);

SDRT_API void sdrt_result_free(sdrt_result *result);

/* How many pictures there are. */
SDRT_API int sdrt_result_count(const sdrt_result *result);

/* One of them, from 0; NULL beyond the last. It lives as long as the result. */
SDRT_API const sdrt_image *sdrt_result_image(const sdrt_result *result, int index);

/* What the caller should know, a line each; "" if there is nothing. */
SDRT_API const char *sdrt_result_warnings(const sdrt_result *result);

/* Seconds by what they were spent on, as JSON, with the names of Python's `Timings`. */
SDRT_API const char *sdrt_result_timings(const sdrt_result *result);

SDRT_API int sdrt_image_width(const sdrt_image *image);
SDRT_API int sdrt_image_height(const sdrt_image *image);

/* (height, width, 3), red, green, blue, 0..255; the top row first, without gaps. */
SDRT_API const uint8_t *sdrt_image_pixels(const sdrt_image *image);

SDRT_API uint64_t sdrt_image_seed(const sdrt_image *image);

/* All that made the picture, as JSON: the chunk `sdrt` of its PNG. */
SDRT_API const char *sdrt_image_parameters(const sdrt_image *image);

/* Writes a PNG with its parameters in it, whole or not at all; the name ends in .png. */
SDRT_API sdrt_code sdrt_image_save(const sdrt_image *image, const char *path, sdrt_error *error);

/* ---- Checking a host ------------------------------------------------------------------------- */

/* One stage of one case of a golden file. */
typedef struct sdrt_check {
    const char *name;    /* of the case */
    const char *stage;   /* "ids", "embeddings", "noise", "sigmas", "unet", "latents", "pixels", ... */
    const char *measure; /* "equal", "psnr_db", "sqnr_db" (higher is better) or "relative" */
    double found;        /* the worst there was; of "equal", how many values differ */
    double limit;
    int passed;
} sdrt_check;

typedef void (*sdrt_check_callback)(const sdrt_check *check, void *user);

/* Replays a file that `sdrt conformance` wrote, each stage from the golden inputs of that stage, and
 * calls back for each. Gives SDRT_PARITY if one failed; the message names the first of them. */
SDRT_API sdrt_code sdrt_conformance(sdrt_pipeline *pipeline, const char *golden,
                                    sdrt_check_callback callback, void *user, sdrt_error *error);

#ifdef __cplusplus
} /* extern "C" */

#ifndef SDRT_C_ONLY

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace sdrt {
inline namespace face {

/* A failed call: `what()` is the message. */
class Error : public std::runtime_error {
public:
    explicit Error(const sdrt_error &error) : std::runtime_error(error.message), code_(error.code) {}
    sdrt_code code() const noexcept { return code_; }

private:
    sdrt_code code_;
};

/* The C structs, with everything at its default. */
struct LoadOptions : sdrt_load_options {
    LoadOptions() { sdrt_load_options_init(this); }
};
struct Options : sdrt_options {
    Options() { sdrt_options_init(this); }
};

/* A picture of a result; a copy keeps the result alive. */
class Image {
public:
    Image(std::shared_ptr<sdrt_result> owner, int index)
        : owner_(std::move(owner)), image_(sdrt_result_image(owner_.get(), index)) {}

    int width() const { return sdrt_image_width(image_); }
    int height() const { return sdrt_image_height(image_); }
    const std::uint8_t *pixels() const { return sdrt_image_pixels(image_); }
    std::uint64_t seed() const { return sdrt_image_seed(image_); }
    std::string parameters() const { return sdrt_image_parameters(image_); }
    void save(const std::string &path) const {
        sdrt_error error;
        if (sdrt_image_save(image_, path.c_str(), &error) != SDRT_OK) {
            throw Error(error);
        }
    }

private:
    std::shared_ptr<sdrt_result> owner_;
    const sdrt_image *image_;
};

/* Is shown each step; false cancels. */
using Callback = std::function<bool(const sdrt_step &)>;

/* An open model. Moves, and does not copy. */
class Pipeline {
public:
    explicit Pipeline(const std::string &path, const LoadOptions &options = {}) {
        sdrt_error error;
        sdrt_pipeline *opened = nullptr;
        if (sdrt_load(path.c_str(), &options, &opened, &error) != SDRT_OK) {
            throw Error(error);
        }
        pipeline_.reset(opened);
    }

    /* Pictures of a prompt, which goes before that in the options. What the callback throws comes
     * out of here, after the run was cancelled. */
    std::vector<Image> generate(const std::string &prompt, Options options = {},
                                const Callback &callback = {}) {
        options.prompt = prompt.c_str();
        sdrt_error error;
        sdrt_result *made = nullptr;
        Watcher watcher{callback, nullptr};
        const sdrt_code code = sdrt_generate(pipeline_.get(), &options,
                                             callback ? &Watcher::see : nullptr, &watcher, &made,
                                             &error);
        if (watcher.thrown) {
            sdrt_result_free(made);
            std::rethrow_exception(watcher.thrown);
        }
        if (code != SDRT_OK) {
            throw Error(error);
        }
        const std::shared_ptr<sdrt_result> owner(made, &sdrt_result_free);
        std::vector<Image> images;
        for (int i = 0; i < sdrt_result_count(made); ++i) {
            images.emplace_back(owner, i);
        }
        return images;
    }

    /* Stops `generate` in another thread. */
    void cancel() { sdrt_cancel(pipeline_.get()); }

    std::string info() const { return sdrt_pipeline_info(pipeline_.get()); }

    /* For what this face does not have. */
    sdrt_pipeline *get() const { return pipeline_.get(); }

private:
    struct Watcher {
        const Callback &callback;
        std::exception_ptr thrown;

        static int see(const sdrt_step *step, void *user) noexcept {
            auto *watcher = static_cast<Watcher *>(user);
            try {
                return watcher->callback(*step) ? 0 : 1;
            } catch (...) {
                watcher->thrown = std::current_exception();
                return 1;
            }
        }
    };
    struct Free {
        void operator()(sdrt_pipeline *pipeline) const { sdrt_pipeline_free(pipeline); }
    };
    std::unique_ptr<sdrt_pipeline, Free> pipeline_;
};

}  // namespace face
}  // namespace sdrt

#endif /* SDRT_C_ONLY */
#endif /* __cplusplus */
#endif /* SDRT_H */
