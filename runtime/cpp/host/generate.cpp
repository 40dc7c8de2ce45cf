// `sdrt-host generate`: makes PNG files from a prompt.
#include "commands.hpp"

#include "errors.hpp"
#include "files/json_file.hpp"
#include "images/png.hpp"
#include "pipeline.hpp"
#include "request/resolve.hpp"
#include "validation.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace sdrt::host {
namespace {

namespace fs = std::filesystem;

constexpr int kBarWidth = 30;

std::vector<Option> command_options() {
    std::vector<Option> all = {
        {{"--output", "-o"}, "FILE", "Default: sdrt-SEED.png."},
        {{"--negative-prompt", "-n"}, "TEXT", "What the picture should not show."},
        {{"--speed"}, "NAME", "Preset of sampler and steps: exact, balanced or fast."},
        {{"--steps"}, "N", "Number of denoising steps."},
        {{"--cfg-scale", "--guidance-scale"}, "X", "Guidance strength."},
        {{"--guidance-rescale"}, "X", "0 to 1: against glaring colours."},
        {{"--guidance-start"}, "X", "Guide from this share of the steps,"},
        {{"--guidance-end"}, "X", "to this share; the other steps cost half."},
        {{"--guidance-split"}, "", "Both halves in turn: needs less memory."},
        {{"--sampler", "--sampling-method"},
         "NAME",
         "ddim, euler, euler_a, dpm++2m, unipc or lcm."},
        {{"--scheduler"}, "NAME", "Spacing of noise levels: default or karras."},
        {{"--spacing"}, "NAME", "Of evenly spaced timesteps: leading, trailing or linspace."},
        {{"--clip-skip"}, "N", "Layer of the text encoder, from the end: 1 the last."},
        {{"--seed", "-s"}, "N", "-1, the default, draws one."},
        {{"--batch-count", "-b"}, "N", "How many pictures."},
        {{"--width", "-W"}, "N", "Pixels, a multiple of 8."},
        {{"--height", "-H"}, "N", "Pixels, a multiple of 8."},
        {{"--size"}, "WxH", "Width and height in one."},
        {{"--no-metadata"}, "", "Keep the parameters out of the PNG."},
        {{"--quiet", "-q"}, "", "No progress and no summary."},
        {{"--json"}, "", "Print a JSON record."},
    };
    const auto engine = engine_options();
    all.insert(all.begin(), engine.begin(), engine.end());
    return all;
}

void set_size(sdrt::Options& options, const Arguments& arguments) {
    options.width = arguments.whole("--width");
    options.height = arguments.whole("--height");
    const auto size = arguments.text("--size");
    if (!size) {
        return;
    }
    unsigned long long width = 0;
    unsigned long long height = 0;
    int read = 0;
    const bool is_size = std::sscanf(size->c_str(), "%8llux%8llu%n", &width, &height, &read) == 2 ||
                         std::sscanf(size->c_str(), "%8lluX%8llu%n", &width, &height, &read) == 2;
    const bool is_all = size->find_first_not_of("0123456789xX") == std::string::npos &&
                        static_cast<std::size_t>(read) == size->size();
    if (!is_size || !is_all) {
        throw UsageError(sdrt::quoted(*size) + " is no size; expected for example 512x768");
    }
    if (options.width || options.height) {
        throw UsageError("both --size and --width or --height were given; give one of them");
    }
    options.width = static_cast<std::int64_t>(width);
    options.height = static_cast<std::int64_t>(height);
}

sdrt::Options options_from(const Arguments& arguments) {
    sdrt::Options options;
    options.prompt = arguments.required();
    options.negative_prompt = arguments.text("--negative-prompt").value_or("");
    set_size(options, arguments);
    options.num_inference_steps = arguments.whole("--steps");
    options.guidance_scale = arguments.number("--cfg-scale");
    options.guidance_rescale = arguments.number("--guidance-rescale").value_or(0);
    options.guidance_start = arguments.number("--guidance-start").value_or(0);
    options.guidance_end = arguments.number("--guidance-end").value_or(1);
    options.guidance_split = arguments.has("--guidance-split");
    options.sampler = arguments.text("--sampler");
    options.scheduler = arguments.text("--scheduler");
    options.spacing = arguments.text("--spacing");
    options.speed = arguments.text("--speed");
    options.clip_skip = arguments.whole("--clip-skip").value_or(1);
    const auto seed = arguments.whole("--seed");
    if (seed && *seed != -1) {
        options.seed = seed;
    }
    options.num_images_per_prompt = arguments.whole("--batch-count").value_or(1);
    return options;
}

// The paths of the images. Several images get a number before the suffix.
std::vector<fs::path> target_paths(const Arguments& arguments, const Request& request) {
    const std::string default_name = "sdrt-" + std::to_string(request.seeds.front()) + ".png";
    const fs::path path = arguments.text("--output").value_or(default_name);
    if (request.seeds.size() == 1) {
        return {path};
    }
    std::vector<fs::path> paths;
    for (std::size_t i = 1; i <= request.seeds.size(); ++i) {
        const std::string name = path.stem().string() + "-" + std::to_string(i);
        paths.push_back(path.parent_path() / (name + path.extension().string()));
    }
    return paths;
}

void show_progress(const Step& step) {
    const auto done = static_cast<int>(step.index + 1);
    const auto total = static_cast<int>(step.count);
    const std::string bar(static_cast<std::size_t>(kBarWidth * done / total), '#');
    std::fprintf(stderr, "\rstep %d/%d [%-*s] %.3g s ", done, total, kBarWidth, bar.c_str(),
                 step.seconds);
    if (done == total) {
        std::fputs("\r\033[K", stderr);
    }
    std::fflush(stderr);
}

std::string record_text(const Result& result, const std::vector<fs::path>& paths) {
    Json record;
    record["images"] = Json::array();
    for (std::size_t i = 0; i < paths.size(); ++i) {
        Json image;
        image["file"] = paths[i].string();
        image.update(parse_json(result.parameters[i].to_json(), "the parameters"));
        image.erase("schema");
        record["images"].push_back(std::move(image));
    }
    record["sheets"] = Json::array();
    record["timings"] = parse_json(result.timings.to_json(), "the timings");
    record["warnings"] = result.warnings;
    return record.dump(1);
}

std::string summary_text(const Result& result, const std::vector<fs::path>& paths) {
    const Parameters& parameters = result.parameters.front();
    const Timings& timings = result.timings;
    std::string text;
    for (std::size_t i = 0; i < paths.size(); ++i) {
        text += paths[i].string() + "  seed " + std::to_string(result.parameters[i].seed) + "\n";
    }
    std::vector<double> steps = timings.step_s;
    std::sort(steps.begin(), steps.end());
    char line[256];
    std::snprintf(line, sizeof(line),
                  "%s in %s on %lld threads: %zu steps of %.3g s, text %.2g s, decode %.2g s, "
                  "load %.2g s",
                  parameters.backend.c_str(), parameters.executed_precision.c_str(),
                  static_cast<long long>(parameters.threads), steps.size(), steps[steps.size() / 2],
                  timings.text_encoder_s, timings.vae_decoder_s, timings.loading_s());
    return text + line;
}

}  // namespace

void generate(const Words& words) {
    const Arguments arguments("sdrt-host generate", "PROMPT", command_options(),
                              wants_help(words) ? Words{} : words);
    if (wants_help(words)) {
        std::cout << arguments.help();
        return;
    }
    const bool is_json = arguments.has("--json");
    const bool is_quiet = arguments.has("--quiet");
    const sdrt::Options options = options_from(arguments);
    Cancellation cancellation;
    const CtrlCListener listener(cancellation);
    Pipeline pipeline(model_path(arguments), load_options(arguments));
    const Request request = resolve(pipeline.manifest(), options);
    const auto paths = target_paths(arguments, request);
    for (const auto& path : paths) {
        check_target(path);
    }
    Callback callback;
    if (!is_quiet && !is_json && isatty(STDERR_FILENO) != 0) {
        callback = show_progress;
    }
    Result result;
    try {
        result = pipeline.generate(request, cancellation, callback);
    } catch (const CancelledError&) {  // only Ctrl-C cancels here
        throw Interrupted{};
    }
    for (std::size_t i = 0; i < paths.size(); ++i) {
        save_png(result.images[i], paths[i],
                 arguments.has("--no-metadata") ? nullptr : &result.parameters[i]);
    }
    for (const std::string& warning : result.warnings) {
        std::cerr << "sdrt-host: warning: " << warning << "\n";
    }
    if (is_json) {
        std::cout << record_text(result, paths) << "\n";
    } else if (!is_quiet) {
        std::cout << summary_text(result, paths) << "\n";
    }
}

}  // namespace sdrt::host
