// Decoded floats -> pixels -> PNG files that contain their parameters.
#pragma once

#include "images/metadata.hpp"

#include <cstdint>
#include <filesystem>
#include <vector>

namespace sdrt {

struct Image {
    int width = 0;
    int height = 0;
    std::vector<std::uint8_t> pixels;  // (height, width, 3), red, green, blue, from the top row
};

// Turns a decoded image, (3, height, width) in -1..1, into pixels. Halves are rounded to even.
Image to_image(const float* decoded, int height, int width);

// Writes a PNG as a whole or not at all, with the image's parameters unless they are nullptr.
// Throws UsageError for another suffix, WriteError for a full disk or a missing permission.
void save_png(const Image& image, const std::filesystem::path& path,
              const Parameters* parameters = nullptr);

// Checks before a run whether its image can be written here. Throws UsageError, or
// WriteError for a missing permission.
void check_target(const std::filesystem::path& path);

}  // namespace sdrt
