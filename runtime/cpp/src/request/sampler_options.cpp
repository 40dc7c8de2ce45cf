#include "request/sampler_options.hpp"

#include "errors.hpp"
#include "validation.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

namespace sdrt {
namespace {

// Values that an option takes: one of a few, or a number of a range.
struct Allowed {
    std::string_view name;
    std::vector<Option> choices;  // of exactly these types; none: a range
    double low = 0;
    double high = 0;
    bool is_whole = false;
};

Allowed range(std::string_view name, double low, double high, bool is_whole = false) {
    return {name, {}, low, high, is_whole};
}

Allowed words(std::string_view name, std::string_view one, std::string_view other) {
    return {name, {Option(std::string(one)), Option(std::string(other))}};
}

Allowed yes_or_no(std::string_view name) {
    return {name, {Option(false), Option(true)}};
}

Allowed order() {
    return {"order", {Option(std::int64_t{1}), Option(std::int64_t{2}), Option(std::int64_t{3})}};
}

// Those of its own, and those that every sampler has.
std::vector<Allowed> allowed_of(const std::string& sampler) {
    std::vector<Allowed> allowed;
    if (sampler == "ddim" || sampler == "euler_a") {
        allowed = {range("eta", 0, 1)};
    } else if (sampler == "dpm++2m") {
        allowed = {order(), yes_or_no("lower_order_final"),
                   words("solver_type", "midpoint", "heun"), yes_or_no("euler_at_final")};
    } else if (sampler == "unipc") {
        allowed = {order(), yes_or_no("lower_order_final"), words("solver_type", "bh1", "bh2"),
                   yes_or_no("predict_x0")};
    } else if (sampler == "lcm") {
        allowed = {range("original_steps", 1, 1000, true), range("timestep_scaling", 1, 1000)};
    }
    const std::vector<Allowed> common{words("final", "zero", "min"), range("rho", 0.1, 100),
                                      range("clip", 0, 1e6), range("thresholding", 0, 1),
                                      range("thresholding_max", 1, 1e6)};
    allowed.insert(allowed.end(), common.begin(), common.end());
    return allowed;
}

bool takes(const Allowed& allowed, const Option& value) {
    if (!allowed.choices.empty()) {
        return std::find(allowed.choices.begin(), allowed.choices.end(), value) !=
               allowed.choices.end();
    }
    double number = std::nan("");
    if (const auto* whole = std::get_if<std::int64_t>(&value)) {
        number = static_cast<double>(*whole);
    } else if (const auto* real = std::get_if<double>(&value); real && !allowed.is_whole) {
        number = *real;
    }
    return number >= allowed.low && number <= allowed.high;
}

std::string shown(const Option& value) {
    if (const auto* text = std::get_if<std::string>(&value)) {
        return sdrt::quoted(*text);
    }
    if (const auto* flag = std::get_if<bool>(&value)) {
        return *flag ? "True" : "False";
    }
    if (const auto* whole = std::get_if<std::int64_t>(&value)) {
        return std::to_string(*whole);
    }
    return number_text(std::get<double>(value));
}

std::string shown(const Allowed& allowed) {
    if (allowed.choices.empty()) {
        return std::string("a ") + (allowed.is_whole ? "whole " : "") + "number from " +
               short_number(allowed.low) + " to " + short_number(allowed.high);
    }
    std::vector<std::string> names;
    for (const auto& choice : allowed.choices) {
        const auto* text = std::get_if<std::string>(&choice);
        const auto* flag = std::get_if<bool>(&choice);
        names.push_back(text != nullptr   ? *text
                        : flag != nullptr ? (*flag ? "true" : "false")
                                          : shown(choice));
    }
    return "one of " + joined(names);
}

}  // namespace

void check_sampler_options(const std::string& sampler, const Named<Option>& options) {
    const auto allowed = allowed_of(sampler);
    std::vector<std::string> names;
    for (const auto& one : allowed) {
        names.emplace_back(one.name);
    }
    for (const auto& [name, value] : options) {
        const auto found = std::find(names.begin(), names.end(), name);
        if (found == names.end()) {
            throw UsageError("sampler " + sampler + " has no option " + sdrt::quoted(name) +
                             "; it has: " + joined(names) + hint(name, names));
        }
        const Allowed& wanted = allowed[static_cast<std::size_t>(found - names.begin())];
        if (!takes(wanted, value)) {
            throw UsageError(name + " of " + sampler + " is " + shown(value) + "; expected " +
                             shown(wanted));
        }
    }
}

}  // namespace sdrt
