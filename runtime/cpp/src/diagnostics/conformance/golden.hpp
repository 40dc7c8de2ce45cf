// A file of golden vectors: cases, and the arrays of their stages (docs/conformance.md).
#pragma once

#include "artifact/artifact.hpp"
#include "files/safetensors.hpp"
#include "request/request.hpp"

#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace sdrt {

// One measure, and its limit; 0 for "equal".
struct Tolerance {
    std::string measure;
    double limit = 0;
};

// The stages, in order.
const std::vector<std::string>& stages();

// One picture: what was asked for, and how near another host must come.
struct Case {
    std::string name;
    Options options;
    Named<Option> sampler_options;
    std::vector<std::int64_t> unet_steps;
    std::map<std::string, Tolerance> tolerances;          // in fp32
    std::map<std::string, Tolerance> reduced_tolerances;  // in bf16 or int8
};

constexpr std::int64_t kAny = -1;  // of a size: anything but nothing

// The arrays of one case, without the case's name; those that are missing or wrong are an
// ArtifactError.
class Arrays {
public:
    Arrays(std::string where, std::map<std::string, AnyArray> tensors)
        : where_(std::move(where)), tensors_(std::move(tensors)) {}

    // File and case, for messages.
    const std::string& where() const { return where_; }

    // One array of this type and shape.
    template <class T>
    const Array<T>& get(const std::string& name, const Shape& shape) const {
        const auto found = tensors_.find(name);
        if (found == tensors_.end()) {
            refuse("has no tensor '" + name + "'");
        }
        const auto* array = std::get_if<Array<T>>(&found->second);
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

    [[noreturn]] void refuse(const std::string& finding) const;

private:
    static bool fits(const Shape& found, const Shape& wanted);

    std::string where_;
    std::map<std::string, AnyArray> tensors_;
};

// Reads a file of this artifact; throws ArtifactError for any other file.
std::vector<std::pair<Case, Arrays>> read_golden(const std::filesystem::path& path,
                                                 const Artifact& artifact);

}  // namespace sdrt
