#include "commands.hpp"
#include "networks/denoiser.hpp"
#include "sampling/schedule.hpp"

#include <cmath>
#include <numeric>

namespace sdrt::test {
namespace {

// A U-Net whose output depends on every input, as the test's `_FakeUNet`.
Tensor fake_unet(const Tensor& sample, float timestep, const TextConditioning& conditioning,
                 const Tensor* guidance) {
    const Tensor& embeddings = conditioning.states;
    Tensor output = sample;
    const auto images = static_cast<std::size_t>(sample.shape[0]);
    const std::size_t size = sample.size() / images, width = embeddings.size() / images;
    const std::size_t guidance_size = guidance != nullptr ? guidance->size() / images : 0;
    for (std::size_t i = 0; i < output.size(); ++i) {
        const auto* row = embeddings.data() + i / size * width;
        double shift = std::accumulate(row, row + width, 0.0) / static_cast<double>(width);
        if (guidance != nullptr) {
            shift += static_cast<double>(guidance->values[i / size * guidance_size]);
        }
        const double value = std::sin(static_cast<double>(output.values[i]) * 2.0 + shift);
        output.values[i] = static_cast<float>(value + static_cast<double>(timestep) * 1e-3);
    }
    return output;
}

Json denoise_latents(const Json& command) {
    const TrainingNoise noise{TrainingSchedule()};
    const SamplerSettings settings = read_sampler_settings(command);
    const Json& guidance = command.at("guidance");
    const DenoiserSettings denoiser_settings{
        command.at("prediction"),
        {guidance.at("scale"), guidance.at("rescale"), guidance.at("start"), guidance.at("end"),
         guidance.at("is_split")},
        Clipping::from_options(settings.options),
        settings.timestep_scaling(),
        command.at("guidance_width")};
    PromptConditioning conditioning{{read_tensor(command.at("positive")), {}, {}}, {}};
    if (command.contains("negative")) {
        conditioning.negative = TextConditioning{read_tensor(command.at("negative")), {}, {}};
    }
    const Denoiser denoise(fake_unet, settings.steps(noise, command.at("count")), noise,
                           std::move(conditioning), denoiser_settings);
    const Tensor x = read_tensor(command.at("x"));
    Json results = Json::array();
    for (const Json& sigma : command.at("sigmas")) {
        results.push_back(denoise(x, sigma).values);
    }
    return results;
}

}  // namespace

Commands networks_commands() { return {{"denoise", denoise_latents}}; }

}  // namespace sdrt::test
