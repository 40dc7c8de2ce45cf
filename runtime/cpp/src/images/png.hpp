// Decoded floats -> pixels -> PNG files with their parameters.
#pragma once

#include "images/metadata.hpp"

#include <cstdint>
#include <filesystem>
#include <vector>

namespace sdrt {

struct Image {
    int width = 0;
    int height = 0;
    std::vector<std::uint8_t> pixels;  // (height, width, 3): red, green, blue; the top row first
};

// Turns one decoded picture, (3, height, width) in -1..1, into pixels; halves go to the even number.
Image to_image(const float* decoded, int height, int width);

// Writes a PNG, whole or not at all, with the parameters that made it unless they are nullptr. Throws
// UsageError for another suffix, WriteError for a full disk or a missing permission.
void save_png(const Image& image, const std::filesystem::path& path,
              const Parameters* parameters = nullptr);

// Finds out before the work whether its result can be written here. Throws UsageError, or WriteError
// without permission.
void check_target(const std::filesystem::path& path);

}  // namespace sdrt
