// What a U-Net takes in addition to the latents: the embeddings of a prompt, and size conditioning.
#pragma once

#include "arrays.hpp"

#include <cstddef>
#include <optional>
#include <vector>

namespace sdrt {

// The conditioning of a prompt, with a row for each image. Members that
// a U-Net does not take are empty.
struct TextConditioning {
    Tensor states;    // (images, tokens, width), those of several encoders concatenated by width
    Tensor pooled;    // (images, width), of the whole prompt
    Tensor time_ids;  // (images, 6), see SizeConditioning

    // Repeats a single row for a number of images.
    TextConditioning repeated(std::size_t images) const;
    // The same shapes with zeros in place of the embeddings; `time_ids` stay.
    TextConditioning zeros() const;
};

// The conditioning of a prompt and a negative prompt, which is missing without guidance.
struct PromptConditioning {
    TextConditioning positive;
    std::optional<TextConditioning> negative;
};

// Concatenates the rows of two conditionings with the same members.
TextConditioning stacked(const TextConditioning& a, const TextConditioning& b);

// Concatenates embeddings (1, tokens, width) along the tokens.
Tensor joined_tokens(const std::vector<Tensor>& chunks);
// Concatenates embeddings (1, tokens, width) along the width. Throws ArtifactError
// for different numbers of tokens.
Tensor joined_widths(const std::vector<Tensor>& encoders);

}  // namespace sdrt
