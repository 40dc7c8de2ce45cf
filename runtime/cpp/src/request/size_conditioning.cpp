#include "request/size_conditioning.hpp"

#include "errors.hpp"

#include <string>

namespace sdrt {

Tensor SizeConditioning::time_ids() const {
    Tensor row(Shape{1, 0});
    for (const PixelPair& pair : {original_size, crops_coords_top_left, target_size}) {
        for (const std::int64_t number : pair) {
            row.values.push_back(static_cast<float>(number));
        }
    }
    row.shape[1] = static_cast<std::int64_t>(row.size());
    return row;
}

std::optional<SizeConditioning> read_size_conditioning(const Manifest& manifest, PixelPair size) {
    const std::int64_t width = manifest.time_ids_width();
    if (width == 0) {
        return {};
    }
    if (width == 5) {
        throw UnsupportedError(sdrt::quoted(manifest.name) +
                               " is a refiner of Stable Diffusion XL, which this host does not "
                               "run; use: sdrt generate --refiner");
    }
    if (width != 6) {
        throw UnsupportedError("the U-Net takes " + std::to_string(width) +
                               " numbers about the picture; expected 6");
    }
    return SizeConditioning{size, {0, 0}, size};
}

}  // namespace sdrt
