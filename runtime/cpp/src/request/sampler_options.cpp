#include "request/sampler_options.hpp"

#include "errors.hpp"
#include "sampling/samplers/aliases.hpp"
#include "validation.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

namespace sdrt {
namespace {

// The values that an option takes: one of several choices, or a number in a range.
struct Allowed {
    std::string_view name;
    std::vector<Option> choices;  // which also fix the type; empty for a range
    double low = 0;
    double high = 0;
    bool is_whole = false;
};

Allowed range(std::string_view name, double low, double high, bool is_whole = false) {
    return {name, {}, low, high, is_whole};
}

Allowed either(std::string_view name, std::string_view first, std::string_view second) {
    return {name, {Option(std::string(first)), Option(std::string(second))}};
}

Allowed yes_or_no(std::string_view name) { return {name, {Option(false), Option(true)}}; }

Allowed order() {
    return {"order", {Option(std::int64_t{1}), Option(std::int64_t{2}), Option(std::int64_t{3})}};
}

// The sampler's own options and those that every sampler has.
std::vector<Allowed> allowed_options(const std::string& sampler) {
    std::vector<Allowed> allowed;
    if (sampler == "ddim" || sampler == "euler_a") {
        allowed = {range("eta", 0, 1)};
    } else if (sampler == "dpm++2m") {
        allowed = {order(), yes_or_no("lower_order_final"),
                   either("solver_type", "midpoint", "heun"), yes_or_no("euler_at_final")};
    } else if (sampler == "unipc") {
        allowed = {order(), yes_or_no("lower_order_final"), either("solver_type", "bh1", "bh2"),
                   yes_or_no("predict_x0")};
    } else if (sampler == "lcm") {
        allowed = {range("original_steps", 1, 1000, true), range("timestep_scaling", 1, 1000)};
    }
    const std::vector<Allowed> common{
        either("final", "zero", "min"), range("rho", 0.1, 100),
        range("sigma_min", 1e-3, 10),   range("clip", 0, 1e6),
        range("thresholding", 0, 1),    range("thresholding_max", 1, 1e6)};
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
    const auto allowed = allowed_options(sampler);
    std::vector<std::string> names;
    for (const auto& option : allowed) {
        names.emplace_back(option.name);
    }
    for (const auto& [name, value] : options) {
        const auto match = std::find(names.begin(), names.end(), name);
        if (match == names.end()) {
            throw UsageError("sampler " + sampler + " has no option " + sdrt::quoted(name) +
                             "; it has: " + joined(names) + hint(name, names));
        }
        const Allowed& expected = allowed[static_cast<std::size_t>(match - names.begin())];
        if (!takes(expected, value)) {
            throw UsageError(name + " of " + sampler + " is " + shown(value) + "; expected " +
                             shown(expected));
        }
    }
}

SamplerSettings read_sampler_options(const Manifest& manifest, const Options& options) {
    const Defaults& defaults = manifest.defaults;
    const std::string name = options.sampler.value_or(defaults.sampler);
    const SamplerChoice choice = find_sampler(name);
    const bool is_default = choice.sampler == defaults.sampler;
    SamplerSettings settings;
    settings.sampler = choice.sampler;
    settings.scheduler = options.scheduler.value_or(
        choice.scheduler.value_or(is_default ? defaults.scheduler : "default"));
    check_scheduler(settings.scheduler);
    if (choice.scheduler && *choice.scheduler != settings.scheduler) {
        throw UsageError("sampler " + sdrt::quoted(name) + " names the scheduler " +
                         sdrt::quoted(*choice.scheduler) + ", and scheduler is " +
                         sdrt::quoted(settings.scheduler) + "; give one of them");
    }
    settings.spacing = check_known("spacing", options.spacing.value_or(manifest.schedule.spacing),
                                   {"leading", "trailing", "linspace"});
    settings.offset = manifest.schedule.offset;
    if (is_default) {
        settings.options = defaults.sampler_options;
    }
    for (const auto& given : options.sampler_options) {
        auto& all = settings.options;
        all.erase(std::remove_if(all.begin(), all.end(),
                                 [&](const auto& own) { return own.first == given.first; }),
                  all.end());
        all.push_back(given);
    }
    check_sampler_options(settings.sampler, settings.options);
    return settings;
}

}  // namespace sdrt
