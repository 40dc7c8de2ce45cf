// What a U-Net is told beside the latents: a prompt's embeddings, and for Stable Diffusion XL more.
#pragma once

#include "arrays.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sdrt {

// A prompt's embeddings, and what stands beside them; a row for each image. What a U-Net does not take
// has no values.
struct Text {
    Tensor states;   // (images, tokens, width); of several encoders, their states side by side
    Tensor pooled;   // (images, width), of the whole prompt
    Tensor picture;  // (images, 6), see Framing

    // The same for so many images, where there is one row for all.
    Text repeated(std::size_t images) const;
    // Zeros of the same shapes in place of what the encoders say; the picture stays.
    Text zeros() const;
};

// The rows of one text behind those of the other, which has the same parts.
Text stacked(const Text& a, const Text& b);

// Embeddings (1, tokens, width) one after the other along the tokens.
Tensor joined_tokens(const std::vector<Tensor>& chunks);
// Embeddings (1, tokens, width) side by side; throws ArtifactError for unequal numbers of tokens.
Tensor joined_widths(const std::vector<Tensor>& encoders);

using PixelPair = std::array<std::int64_t, 2>;

// What Stable Diffusion XL is told of the picture, in pixels: heights before widths, tops before
// lefts (Podell et al. 2023, arXiv 2307.01952, sections 2.2 and 2.3).
struct Framing {
    PixelPair original_size{};          // of the picture before it was scaled and cut
    PixelPair crops_coords_top_left{};  // where it was cut out
    PixelPair target_size{};            // what it was cut to

    // As the U-Net takes it: (1, 6).
    Tensor row() const;
};

}  // namespace sdrt
