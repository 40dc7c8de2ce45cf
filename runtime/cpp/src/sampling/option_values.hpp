// Looks up validated sampler options by name, with a default for options that are not given.
#pragma once

#include "manifest.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace sdrt {

// A number, whether it was given as a whole number or not.
inline double number(const Named<Option>& options, std::string_view name, double default_value) {
    const Option* value = find(options, name);
    if (value == nullptr) {
        return default_value;
    }
    const auto* whole = std::get_if<std::int64_t>(value);
    return whole != nullptr ? static_cast<double>(*whole) : std::get<double>(*value);
}

// An option of exactly this type.
template <class T>
T option(const Named<Option>& options, std::string_view name, T default_value) {
    const Option* value = find(options, name);
    return value != nullptr ? std::get<T>(*value) : default_value;
}

}  // namespace sdrt
