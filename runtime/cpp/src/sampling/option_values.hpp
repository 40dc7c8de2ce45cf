// Options of samplers by name, with what counts where one is not given; they were checked before.
#pragma once

#include "manifest.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace sdrt {

// A number, which may be a whole one.
inline double number(const Named<Option>& options, std::string_view name, double otherwise) {
    const Option* found = find(options, name);
    if (found == nullptr) {
        return otherwise;
    }
    const auto* whole = std::get_if<std::int64_t>(found);
    return whole != nullptr ? static_cast<double>(*whole) : std::get<double>(*found);
}

// An option of exactly this type.
template <class T>
T option(const Named<Option>& options, std::string_view name, T otherwise) {
    const Option* found = find(options, name);
    return found != nullptr ? std::get<T>(*found) : otherwise;
}

}  // namespace sdrt
