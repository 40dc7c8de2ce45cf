// What pytest talks to (tests/cpp/test_number_parts.py): a JSON list of commands on stdin, a list
// of as many results on stdout. An error of sdrt is a result too.

#include "errors.hpp"
#include "files/json_file.hpp"
#include "networks/denoiser.hpp"
#include "sampling/noise.hpp"
#include "sampling/sampler_settings.hpp"
#include "text/prompt.hpp"
#include "text/tokenizer.hpp"

#include <cmath>
#include <cstring>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <numeric>

namespace {

using sdrt::Json;
using sdrt::Tensor;

Tensor tensor(const Json& json) {
    return {json.at("shape").get<sdrt::Shape>(), json.at("values").get<std::vector<float>>()};
}

sdrt::Named<sdrt::Option> options(const Json& json) {
    sdrt::Named<sdrt::Option> read;
    for (const auto& [name, value] : json.items()) {
        if (value.is_boolean()) {
            read.emplace_back(name, value.get<bool>());
        } else if (value.is_number_integer()) {
            read.emplace_back(name, value.get<std::int64_t>());
        } else if (value.is_number()) {
            read.emplace_back(name, value.get<double>());
        } else {
            read.emplace_back(name, value.get<std::string>());
        }
    }
    return read;
}

sdrt::TrainingNoise training(const Json& json) {
    sdrt::TrainingSchedule schedule;
    schedule.train_steps = json.value("train_steps", schedule.train_steps);
    schedule.curve = json.value("curve", schedule.curve);
    schedule.zero_terminal_snr = json.value("zero_terminal_snr", false);
    return sdrt::TrainingNoise(schedule);
}

sdrt::SamplerSettings sampler_settings(const Json& json) {
    return {json.at("sampler"), json.value("scheduler", "default"),
            json.value("spacing", "leading"), json.value("offset", std::int64_t{0}),
            options(json.value("options", Json::object()))};
}

Json levels(const Json& command) {
    const sdrt::TrainingNoise noise = training(command.value("schedule", Json::object()));
    const sdrt::Steps steps = sampler_settings(command).steps(noise, command.at("count"));
    return {{"sigmas", steps.sigmas}, {"timesteps", steps.timesteps}, {"training", noise.sigmas()}};
}

// Clean latents of data around +mean and -mean, exactly (see `_analytic` in the test).
Tensor analytic(Tensor x, double sigma) {
    constexpr double mean = 0.8, variance = 0.04;
    const double total = variance + sigma * sigma;
    for (float& value : x.values) {
        const double side = mean * std::tanh(value * mean / total);
        value = static_cast<float>((variance * value + sigma * sigma * side) / total);
    }
    return x;
}

Json trajectory(const Json& command) {
    const sdrt::TrainingNoise training_noise = training(Json::object());
    const sdrt::SamplerSettings settings = sampler_settings(command);
    const sdrt::Steps steps = settings.steps(training_noise, command.at("count"));
    const auto shape = command.at("shape").get<sdrt::Shape>();
    sdrt::Noise noise({std::uint64_t{1}, std::uint64_t{2}});
    Tensor x = noise.draw(shape) * std::sqrt(1 + steps.sigmas[0] * steps.sigmas[0]);
    Json path = Json::array();
    const Tensor reached = settings.sample(
        analytic, std::move(x), steps.sigmas, [&] { return noise.draw(shape); },
        [&](std::size_t index, const Tensor& now, const Tensor& denoised) {
            path.push_back({{"index", index}, {"x", now.values}, {"denoised", denoised.values}});
        });
    return {{"path", path}, {"reached", reached.values}};
}

// A U-Net that every input has an influence on (see `_FakeUNet` in the test).
Tensor unet(const Tensor& sample, float timestep, const sdrt::TextConditioning& conditioning,
            const Tensor* guidance) {
    const Tensor& embeddings = conditioning.states;
    Tensor output = sample;
    const auto images = static_cast<std::size_t>(sample.shape[0]);
    const std::size_t size = sample.size() / images, width = embeddings.size() / images;
    const std::size_t guided = guidance != nullptr ? guidance->size() / images : 0;
    for (std::size_t i = 0; i < output.size(); ++i) {
        const auto* row = embeddings.data() + i / size * width;
        double more = std::accumulate(row, row + width, 0.0) / static_cast<double>(width);
        more +=
            guidance != nullptr ? static_cast<double>(guidance->values[i / size * guided]) : 0.0;
        const double value = std::sin(static_cast<double>(output.values[i]) * 2.0 + more);
        output.values[i] = static_cast<float>(value + static_cast<double>(timestep) * 1e-3);
    }
    return output;
}

Json denoised(const Json& command) {
    const sdrt::TrainingNoise noise = training(Json::object());
    const sdrt::SamplerSettings settings = sampler_settings(command);
    const Json& guidance = command.at("guidance");
    const sdrt::DenoiserSettings denoiser_settings{
        command.at("prediction"),
        {guidance.at("scale"), guidance.at("rescale"), guidance.at("start"), guidance.at("end"),
         guidance.at("is_split")},
        sdrt::Clipping::from_options(settings.options),
        settings.timestep_scaling(),
        command.at("guidance_width")};
    sdrt::PromptConditioning conditioning{{tensor(command.at("positive")), {}, {}}, {}};
    if (command.contains("negative")) {
        conditioning.negative = sdrt::TextConditioning{tensor(command.at("negative")), {}, {}};
    }
    const sdrt::Denoiser denoise(unet, settings.steps(noise, command.at("count")), noise,
                                 std::move(conditioning), denoiser_settings);
    Json results = Json::array();
    for (const Json& sigma : command.at("sigmas")) {
        results.push_back(denoise(tensor(command.at("x")), sigma).values);
    }
    return results;
}

Json drawn(const Json& command) {
    sdrt::Noise noise(command.at("seeds").get<std::vector<std::uint64_t>>());
    Json draws = Json::array();
    for (const Json& shape : command.at("shapes")) {
        const Tensor draw = noise.draw(shape.get<sdrt::Shape>());
        std::vector<std::uint32_t> bits(draw.size());
        std::memcpy(bits.data(), draw.data(), bits.size() * sizeof(float));
        draws.push_back({{"shape", draw.shape}, {"bits", bits}});
    }
    return draws;
}

Json tokens(const Json& command) {
    const sdrt::Tokenizer tokenizer(command.at("folder").get<std::string>(), command.at("length"));
    Json results = Json::array();
    for (const Json& text : command.at("prompts")) {
        const sdrt::Prompt prompt = sdrt::parse_prompt(text.get<std::string>());
        Json chunks = Json::array();
        for (const auto& chunk : prompt.chunks) {
            chunks.push_back(Json::array());
            for (const sdrt::Fragment& fragment : chunk) {
                chunks.back().push_back({fragment.text, fragment.weight});
            }
        }
        const sdrt::Tokens read = tokenizer.encode(prompt);
        results.push_back({{"chunks", chunks},
                           {"warnings", prompt.warnings},
                           {"shape", read.ids.shape},
                           {"ids", read.ids.values},
                           {"weights", read.weights.values}});
    }
    return results;
}

Json scaled(const Json& command) {
    const auto weights = command.at("weights").get<std::vector<float>>();
    return sdrt::weighted(tensor(command.at("states")), weights.data()).values;
}

Json answer(const Json& command) {
    static const std::map<std::string, std::function<Json(const Json&)>> verbs = {
        {"levels", levels}, {"trajectory", trajectory}, {"denoised", denoised},
        {"drawn", drawn},   {"tokens", tokens},         {"weighted", scaled},
    };
    try {
        return verbs.at(command.at("verb").get<std::string>())(command);
    } catch (const sdrt::Error& error) {
        return {{"error", error.type()}, {"code", error.code()}, {"message", error.what()}};
    }
}

}  // namespace

int main() {
    const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
    Json results = Json::array();
    for (const Json& command : Json::parse(text)) {
        results.push_back(answer(command));
    }
    std::cout << results.dump() << '\n';
}
