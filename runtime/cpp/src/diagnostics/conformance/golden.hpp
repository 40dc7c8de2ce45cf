// A file of golden vectors: cases, and the arrays of their stages (docs/embed/conformance.md).
#pragma once

#include "artifact/artifact.hpp"
#include "diagnostics/conformance/tolerance.hpp"
#include "files/safetensors.hpp"
#include "request/options.hpp"

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace sdrt {

// A picture: its options, and how close another host must come.
struct GoldenCase {
    std::string name;
    Options options;
    Named<Option> sampler_options;
    std::vector<std::int64_t> unet_steps;  // the steps whose U-Net call is in the file
    StageTolerances fp32;
    StageTolerances reduced;  // for bf16 and int8
};

constexpr std::int64_t kAnySize = -1;  // stands for every size but 0

// The arrays of a case, by names without that of the case. A missing or
// wrong array is an ArtifactError.
class GoldenArrays {
public:
    GoldenArrays(std::string place, std::map<std::string, AnyArray> arrays)
        : place_(std::move(place)),
          arrays_(std::move(arrays)) {}

    // An array of this type and shape.
    template <class T>
    const Array<T>& get(const std::string& name, const Shape& shape) const {
        const auto entry = arrays_.find(name);
        if (entry == arrays_.end()) {
            refuse("has no tensor '" + name + "'");
        }
        const auto* array = std::get_if<Array<T>>(&entry->second);
        if (array == nullptr || !fits(array->shape, shape)) {
            refuse("has '" + name + "' in another type or shape than expected");
        }
        if constexpr (std::is_floating_point_v<T>) {
            for (const T value : array->values) {
                if (!std::isfinite(value)) {
                    refuse("has NaN or infinity in '" + name + "'");
                }
            }
        }
        return *array;
    }

    // Throws ArtifactError about this case of the file.
    [[noreturn]] void refuse(const std::string& problem) const;

private:
    static bool fits(const Shape& shape, const Shape& expected);

    std::string place_;  // file and case
    std::map<std::string, AnyArray> arrays_;
};

// Reads a file that was written for this artifact. Throws ArtifactError for any other file.
std::vector<std::pair<GoldenCase, GoldenArrays>> read_golden(const std::filesystem::path& path,
                                                             const Artifact& artifact);

}  // namespace sdrt
