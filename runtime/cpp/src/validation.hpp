// Validation of single values from a caller: each check returns the value or throws UsageError.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sdrt {

// Checks that a name is one of `names`; the error suggests the nearest.
const std::string& check_known(std::string_view what, const std::string& name,
                               const std::vector<std::string>& names);

// The end of a message about an unknown name: the nearest of `names`, or "" if none is near.
std::string hint(std::string_view name, const std::vector<std::string>& names);

// Checks that a whole number lies in a range.
std::int64_t check_whole(std::string_view name, std::int64_t value, std::int64_t low,
                         std::int64_t high);

// Checks the width or height of an image in pixels, a multiple of the latents' downscale.
std::int64_t check_size(std::string_view name, std::int64_t value, std::int64_t downscale);

// Checks that a number is finite and lies in a range; `high` may be infinity.
double check_number(std::string_view name, double value, double high, int low = 0);

// Checks that a text is UTF-8.
const std::string& check_text(std::string_view name, const std::string& value);

// "a, b, c"
std::string joined(const std::vector<std::string>& names, std::string_view separator = ", ");

// A number as Python's repr writes it: "7.5", "1.0", "1e-07", "inf".
std::string number_text(double value);

// A number with up to six digits as Python's "g" writes it, in any locale.
std::string short_number(double value);

}  // namespace sdrt
