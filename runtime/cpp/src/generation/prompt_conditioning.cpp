#include "generation/prompt_conditioning.hpp"

#include "text/prompt.hpp"

#include <optional>
#include <string>
#include <utility>

namespace sdrt {

PromptConditioning encode_prompts(OpenModel& model, const Request& request, RunState& state) {
    TextEncoders& encoders = model.text_encoders();
    const auto tokenize = [&](const std::string& name, const std::string& text) {
        const Prompt prompt = parse_prompt(text);
        for (const std::string& warning : prompt.warnings) {
            state.warnings.push_back(name + ": " + warning);
        }
        return encoders.tokens(prompt);
    };
    const bool is_negative_zero =
        model.manifest().zeros_for_empty_prompt && request.negative_prompt.empty();
    const EncoderTokens positive = tokenize("prompt", request.prompt);
    std::optional<EncoderTokens> negative;
    if (request.is_guided && !is_negative_zero) {
        negative = tokenize("negative prompt", request.negative_prompt);
    }
    PromptConditioning conditioning = state.at("prompt", [&] {
        return encoders.encode(positive, negative ? &*negative : nullptr, request.clip_skip, state);
    });
    encoders.release_after_use();
    state.cancellation.check();
    if (request.is_guided && is_negative_zero) {
        conditioning.negative = conditioning.positive.zeros();
    }
    const auto for_all_images = [&](TextConditioning text) {
        if (request.size_conditioning) {
            text.time_ids = request.size_conditioning->time_ids();
        }
        return text.repeated(request.seeds.size());
    };
    conditioning.positive = for_all_images(std::move(conditioning.positive));
    if (conditioning.negative) {
        conditioning.negative = for_all_images(std::move(*conditioning.negative));
    }
    return conditioning;
}

}  // namespace sdrt
