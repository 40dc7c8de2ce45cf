// The size and crop conditioning of Stable Diffusion XL (Podell et al. 2023, arXiv
// 2307.01952, sections 2.2 and 2.3).
#pragma once

#include "arrays.hpp"
#include "manifest.hpp"

#include <array>
#include <cstdint>
#include <optional>

namespace sdrt {

using PixelPair = std::array<std::int64_t, 2>;

// Sizes are (height, width), positions (top, left), all in pixels.
struct SizeConditioning {
    PixelPair original_size{};          // before the image was scaled and cropped
    PixelPair crops_coords_top_left{};  // position of the crop
    PixelPair target_size{};            // size of the crop

    // The U-Net's input: (1, 6).
    Tensor time_ids() const;
};

// The conditioning of an uncropped image of this size, for models that take one. Throws
// UnsupportedError for a refiner or an unknown number of inputs.
std::optional<SizeConditioning> read_size_conditioning(const Manifest& manifest, PixelPair size);

}  // namespace sdrt
