#include "images/png.hpp"

#include "errors.hpp"
#include "files/atomic.hpp"
#include "images/png_encoder.hpp"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <stdexcept>
#include <string>
#include <system_error>

namespace sdrt {
namespace {

namespace fs = std::filesystem;

void check_suffix(const fs::path& path) {
    std::string suffix = path.extension().string();
    std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (suffix != ".png") {
        throw UsageError("cannot write " + path.string() + ": pictures are written as .png");
    }
}

std::uint8_t to_byte(float value) {
    const float share = value / 2.0F + 0.5F;
    // A comparison with NaN is false, so NaN becomes black.
    const float bounded = share > 0.0F ? std::min(share, 1.0F) : 0.0F;
    return static_cast<std::uint8_t>(std::nearbyint(bounded * 255.0F));
}

}  // namespace

Image to_image(const float* decoded, int height, int width) {
    const std::size_t area = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
    Image image{width, height, std::vector<std::uint8_t>(area * 3)};
    for (std::size_t channel = 0; channel < 3; ++channel) {
        for (std::size_t i = 0; i < area; ++i) {
            image.pixels[i * 3 + channel] = to_byte(decoded[channel * area + i]);
        }
    }
    return image;
}

void save_png(const Image& image, const fs::path& path, const Parameters* parameters) {
    check_suffix(path);
    const auto area = static_cast<std::int64_t>(image.width) * image.height;
    if (image.width < 1 || image.height < 1 ||
        image.pixels.size() != static_cast<std::uint64_t>(area) * 3) {
        throw std::invalid_argument("an image's pixels do not fit its size");
    }
    PngEncoder png(image.width, image.height);
    if (parameters != nullptr) {
        png.add_text("parameters", parameters->to_a1111());
        png.add_international_text(kMetadataChunk, parameters->to_json());
    }
    write_atomically(path, png.finish(image.pixels.data()));
}

void check_target(const fs::path& path) {
    std::error_code code;
    const fs::path parent = path.has_parent_path() ? path.parent_path() : ".";
    check_suffix(path);
    if (!fs::is_directory(parent, code)) {
        throw UsageError("cannot write " + path.string() + ": there is no folder " +
                         parent.string());
    }
    if (fs::is_directory(path, code)) {
        throw UsageError("cannot write " + path.string() + ": there is a folder of that name");
    }
    if (access(parent.c_str(), W_OK | X_OK) != 0) {
        throw WriteError("cannot write " + path.string() +
                         ": Permission denied; choose another folder, or let this user write to " +
                         parent.string());
    }
}

}  // namespace sdrt
