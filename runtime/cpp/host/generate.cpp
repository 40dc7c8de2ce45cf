// `sdrt-host generate`: a prompt in, PNG files out.
#include "commands.hpp"

#include "errors.hpp"
#include "files/json_file.hpp"
#include "images/png.hpp"
#include "validation.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace sdrt::host {
namespace {

namespace fs = std::filesystem;

constexpr int kBarWidth = 30;

std::vector<Option> options() {
    std::vector<Option> all = {
        {{"--output", "-o"}, "FILE", "Default: sdrt-SEED.png."},
        {{"--negative-prompt", "-n"}, "TEXT", "What the picture should not show."},
        {{"--steps"}, "N", "Number of denoising steps."},
        {{"--cfg-scale", "--guidance-scale"}, "X", "Guidance strength."},
        {{"--guidance-rescale"}, "X", "0 to 1: against glaring colours."},
        {{"--guidance-start"}, "X", "Guide from this share of the steps,"},
        {{"--guidance-end"}, "X", "to this share; the other steps cost half."},
        {{"--guidance-split"}, "", "Both halves in turn: needs less memory."},
        {{"--sampler", "--sampling-method"}, "NAME", "ddim, euler, euler_a, dpm++2m, unipc or lcm."},
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

void set_size(sdrt::Options& made, const Arguments& given) {
    made.width = given.whole("--width");
    made.height = given.whole("--height");
    const auto size = given.text("--size");
    if (!size) {
        return;
    }
    unsigned long long width = 0;
    unsigned long long height = 0;
    int read = 0;
    const bool is_size =
        std::sscanf(size->c_str(), "%8llux%8llu%n", &width, &height, &read) == 2 ||
        std::sscanf(size->c_str(), "%8lluX%8llu%n", &width, &height, &read) == 2;
    const bool is_all = size->find_first_not_of("0123456789xX") == std::string::npos &&
                        static_cast<std::size_t>(read) == size->size();
    if (!is_size || !is_all) {
        throw UsageError(sdrt::quoted(*size) + " is no size; expected for example 512x768");
    }
    if (made.width || made.height) {
        throw UsageError("both --size and --width or --height were given; give one of them");
    }
    made.width = static_cast<std::int64_t>(width);
    made.height = static_cast<std::int64_t>(height);
}

sdrt::Options options_of(const Arguments& given) {
    sdrt::Options made;
    made.prompt = given.required();
    made.negative_prompt = given.text("--negative-prompt").value_or("");
    set_size(made, given);
    made.num_inference_steps = given.whole("--steps");
    made.guidance_scale = given.number("--cfg-scale");
    made.guidance_rescale = given.number("--guidance-rescale").value_or(0);
    made.guidance_start = given.number("--guidance-start").value_or(0);
    made.guidance_end = given.number("--guidance-end").value_or(1);
    made.guidance_split = given.has("--guidance-split");
    made.sampler = given.text("--sampler");
    made.scheduler = given.text("--scheduler");
    made.spacing = given.text("--spacing");
    made.clip_skip = given.whole("--clip-skip").value_or(1);
    const auto seed = given.whole("--seed");
    if (seed && *seed != -1) {
        made.seed = seed;
    }
    made.num_images_per_prompt = given.whole("--batch-count").value_or(1);
    return made;
}

// Several pictures get their number before the suffix.
std::vector<fs::path> targets_of(const Arguments& given, const Request& request) {
    const std::string first = "sdrt-" + std::to_string(request.seeds.front()) + ".png";
    const fs::path path = given.text("--output").value_or(first);
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
    const auto all = static_cast<int>(step.count);
    const std::string bar(static_cast<std::size_t>(kBarWidth * done / all), '#');
    std::fprintf(stderr, "\rstep %d/%d [%-*s] %.3g s ", done, all, kBarWidth, bar.c_str(),
                 step.seconds);
    if (done == all) {
        std::fputs("\r\033[K", stderr);
    }
    std::fflush(stderr);
}

std::string record_of(const Result& result, const std::vector<fs::path>& paths) {
    Json record;
    record["images"] = Json::array();
    for (std::size_t i = 0; i < paths.size(); ++i) {
        Json image;
        image["file"] = paths[i].string();
        image.update(Json::parse(result.parameters[i].to_json()));
        image.erase("schema");
        record["images"].push_back(std::move(image));
    }
    record["sheets"] = Json::array();
    record["timings"] = Json::parse(result.timings.to_json());
    record["warnings"] = result.warnings;
    return record.dump(1);
}

std::string summary_of(const Result& result, const std::vector<fs::path>& paths) {
    const Parameters& made = result.parameters.front();
    const Timings& spent = result.timings;
    std::string text;
    for (std::size_t i = 0; i < paths.size(); ++i) {
        text += paths[i].string() + "  seed " + std::to_string(result.parameters[i].seed) + "\n";
    }
    std::vector<double> steps = spent.step_s;
    std::sort(steps.begin(), steps.end());
    char line[256];
    std::snprintf(line, sizeof(line),
                  "%s in %s on %lld threads: %zu steps of %.3g s, text %.2g s, decode %.2g s, "
                  "load %.2g s",
                  made.backend.c_str(), made.executed_precision.c_str(),
                  static_cast<long long>(made.threads), steps.size(), steps[steps.size() / 2],
                  spent.text_encoder_s, spent.vae_decoder_s, spent.loading_s());
    return text + line;
}

}  // namespace

void generate(const Words& words) {
    const Arguments given("sdrt-host generate", "PROMPT", options(), asks_for_help(words) ? Words{} : words);
    if (asks_for_help(words)) {
        std::cout << given.help();
        return;
    }
    const bool is_json = given.has("--json");
    const bool is_quiet = given.has("--quiet");
    const sdrt::Options asked = options_of(given);
    Cancellation cancellation;
    const CancelledByCtrlC cancelled(cancellation);
    Pipeline pipeline(model_of(given), load_options(given));
    const Request request = resolve(pipeline.manifest(), asked);
    const auto paths = targets_of(given, request);
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
    } catch (const CancelledError&) {  // nobody else could have asked
        throw Interrupted{};
    }
    for (std::size_t i = 0; i < paths.size(); ++i) {
        save_png(result.images[i], paths[i],
                 given.has("--no-metadata") ? nullptr : &result.parameters[i]);
    }
    for (const std::string& warning : result.warnings) {
        std::cerr << "sdrt-host: warning: " << warning << "\n";
    }
    if (is_json) {
        std::cout << record_of(result, paths) << "\n";
    } else if (!is_quiet) {
        std::cout << summary_of(result, paths) << "\n";
    }
}

}  // namespace sdrt::host
