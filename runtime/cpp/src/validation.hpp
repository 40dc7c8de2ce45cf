// Single values that a caller gives: each function gives the value back or throws UsageError.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sdrt {

// The name itself, if it is one of `names`; the error offers the nearest.
const std::string& check_known(std::string_view what, const std::string& name,
                               const std::vector<std::string>& names);

// The end of a message: the name that is nearest to an unknown one, if any is near; or "".
std::string hint(std::string_view name, const std::vector<std::string>& names);

// A whole number in a range.
std::int64_t check_whole(std::string_view name, std::int64_t value, std::int64_t low,
                         std::int64_t high);

// A side of a picture in pixels, which the latents' smaller scale divides.
std::int64_t check_size(std::string_view name, std::int64_t value, std::int64_t downscale);

// A finite number from 0 on; `high` may be infinity.
double check_number(std::string_view name, double value, double high, int low = 0);

// A text in UTF-8.
const std::string& check_text(std::string_view name, const std::string& value);

// "a, b, c"
std::string joined(const std::vector<std::string>& names, std::string_view between = ", ");

// A number as Python's repr has it: "7.5", "1.0", "1e-07", "inf".
std::string number_text(double value);

// A number with up to six digits, as Python's "g" has it; in any locale.
std::string short_number(double value);

}  // namespace sdrt
