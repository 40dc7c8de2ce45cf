#include "request/guidance_options.hpp"

#include "errors.hpp"
#include "request/ignored_options.hpp"
#include "validation.hpp"

#include <limits>
#include <string>

namespace sdrt {

Guidance read_guidance(const Manifest& manifest, const Options& options) {
    const bool is_distilled = manifest.is_guidance_distilled();
    const double scale = options.guidance_scale.value_or(manifest.defaults.guidance_scale);
    const std::string owner =
        is_distilled ? " of " + sdrt::quoted(manifest.name) + ", which its U-Net takes as an input,"
                     : "";
    Guidance guidance;
    // A U-Net with built-in guidance was never trained with a scale below 1.
    guidance.scale = check_number("guidance scale" + owner, scale,
                                  std::numeric_limits<double>::infinity(), is_distilled ? 1 : 0);
    guidance.rescale = check_number("guidance rescale", options.guidance_rescale, 1);
    guidance.start = check_number("guidance start", options.guidance_start, 1);
    guidance.end = check_number("guidance end", options.guidance_end, 1);
    guidance.is_split = options.guidance_split;
    if (guidance.start > guidance.end) {
        throw UsageError("guidance starts at " + number_text(guidance.start) + " and ends at " +
                         number_text(guidance.end) + "; expected the start before the end");
    }
    if (is_distilled) {
        check_distilled_guidance(manifest.name, guidance);
    }
    return guidance;
}

}  // namespace sdrt
