#include "commands.hpp"
#include "sampling/noise.hpp"
#include "sampling/samplers/aliases.hpp"
#include "sampling/schedule.hpp"

#include <cmath>
#include <cstring>

namespace sdrt::test {
namespace {

TrainingNoise read_training_noise(const Json& command) {
    TrainingSchedule schedule;
    if (command.contains("schedule")) {
        const Json& json = command.at("schedule");
        read(json, "train_steps", schedule.train_steps);
        read(json, "curve", schedule.curve);
        read(json, "zero_terminal_snr", schedule.zero_terminal_snr);
    }
    return TrainingNoise(schedule);
}

Json levels(const Json& command) {
    const TrainingNoise noise = read_training_noise(command);
    const Steps steps = read_sampler_settings(command).steps(noise, command.at("count"));
    return {{"sigmas", steps.sigmas}, {"timesteps", steps.timesteps}, {"training", noise.sigmas()}};
}

// The exact clean latents for data around +mean and -mean, as in the test's `_analytic`.
Tensor analytic(Tensor x, double sigma) {
    constexpr double mean = 0.8, variance = 0.04;
    const double total = variance + sigma * sigma;
    for (float& value : x.values) {
        const double side = mean * std::tanh(value * mean / total);
        value = static_cast<float>((variance * value + sigma * sigma * side) / total);
    }
    return x;
}

// The path of a sampler on the analytic model, from the noise of the seeds 1 and 2.
Json trajectory(const Json& command) {
    const SamplerSettings settings = read_sampler_settings(command);
    const Steps steps = settings.steps(read_training_noise(command), command.at("count"));
    const auto shape = command.at("shape").get<Shape>();
    Noise noise({std::uint64_t{1}, std::uint64_t{2}});
    Tensor x = noise.draw(shape) * variance_scale(steps.sigmas[0]);
    Json path = Json::array();
    const Tensor reached = settings.sample(
        analytic, std::move(x), steps.sigmas, [&] { return noise.draw(shape); },
        [&](std::size_t index, const Tensor& latents, const Tensor& denoised) {
            path.push_back(
                {{"index", index}, {"x", latents.values}, {"denoised", denoised.values}});
        });
    return {{"path", path}, {"reached", reached.values}};
}

// Noise as the bits of its numbers.
Json draw_noise(const Json& command) {
    Noise noise(command.at("seeds").get<std::vector<std::uint64_t>>());
    Json draws = Json::array();
    for (const Json& shape : command.at("shapes")) {
        const Tensor draw = noise.draw(shape.get<Shape>());
        std::vector<std::uint32_t> bits(draw.size());
        std::memcpy(bits.data(), draw.data(), bits.size() * sizeof(float));
        draws.push_back({{"shape", draw.shape}, {"bits", bits}});
    }
    return draws;
}

Json find_sampler_name(const Json& command) {
    const SamplerChoice choice = find_sampler(command.at("name"));
    return {choice.sampler, choice.scheduler ? Json(*choice.scheduler) : Json()};
}

}  // namespace

Commands sampling_commands() {
    return {{"levels", levels},
            {"trajectory", trajectory},
            {"noise", draw_noise},
            {"sampler", find_sampler_name}};
}

}  // namespace sdrt::test
