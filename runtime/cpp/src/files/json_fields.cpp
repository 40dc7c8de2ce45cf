#include "files/json_fields.hpp"

#include "errors.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sdrt {
namespace {

// From here on, neighbouring doubles are further apart than 1.
constexpr double kMaxExactWhole = 9007199254740992.0;

}  // namespace

const std::string& as_string(const Json& value, const std::string& where) {
    if (!value.is_string()) {
        throw FieldProblem(where, "expected a text");
    }
    return value.get_ref<const std::string&>();
}

std::int64_t as_whole(const Json& value, const std::string& where, std::int64_t low,
                      std::int64_t high) {
    std::optional<std::int64_t> whole;
    if (value.is_number_unsigned()) {
        const auto number = value.get<std::uint64_t>();
        if (number <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            whole = static_cast<std::int64_t>(number);
        }
    } else if (value.is_number_integer()) {
        whole = value.get<std::int64_t>();
    } else if (value.is_number_float()) {
        const double number = value.get<double>();
        if (std::abs(number) <= kMaxExactWhole && std::trunc(number) == number) {
            whole = static_cast<std::int64_t>(number);
        }
    }
    if (!whole || *whole < low || *whole > high) {
        std::string expected = "expected a whole number";
        if (low > std::numeric_limits<std::int64_t>::min()) {
            expected += " from " + std::to_string(low);
            expected += high < std::numeric_limits<std::int64_t>::max()
                            ? " to " + std::to_string(high)
                            : " up";
        }
        throw FieldProblem(where, expected);
    }
    return *whole;
}

double as_number(const Json& value, const std::string& where) {
    if (!value.is_number() || !std::isfinite(value.get<double>())) {
        throw FieldProblem(where, "expected a finite number");
    }
    return value.get<double>();
}

bool as_flag(const Json& value, const std::string& where) {
    if (!value.is_boolean()) {
        throw FieldProblem(where, "expected true or false");
    }
    return value.get<bool>();
}

Option as_option(const Json& value, const std::string& where) {
    if (value.is_boolean()) {
        return value.get<bool>();
    }
    if (value.is_number_float()) {
        return value.get<double>();
    }
    if (value.is_number()) {
        return as_whole(value, where);
    }
    return as_string(value, where);
}

Fields::Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) {
        throw FieldProblem(where_, "expected an object");
    }
}

std::string Fields::place(const std::string& name) const {
    return where_.empty() ? name : where_ + "." + name;
}

const Json* Fields::find(const std::string& name) {
    read_.insert(name);
    const auto member = object_.find(name);
    return member == object_.end() ? nullptr : &*member;
}

const Json& Fields::get(const std::string& name) {
    const Json* member = find(name);
    if (member == nullptr) {
        throw FieldProblem(place(name), "field required");
    }
    return *member;
}

void Fields::finish() const {
    for (const auto& member : object_.items()) {
        if (read_.count(member.key()) == 0) {
            throw FieldProblem(place(member.key()), "unknown field");
        }
    }
}

std::string Fields::choice(const std::string& name, const std::vector<std::string>& allowed) {
    const std::string& value = as_string(get(name), place(name));
    if (std::find(allowed.begin(), allowed.end(), value) == allowed.end()) {
        std::string names;
        for (const auto& allowed_name : allowed) {
            names += (names.empty() ? "" : " or ") + sdrt::quoted(allowed_name);
        }
        throw FieldProblem(place(name), "expected " + names);
    }
    return value;
}

void Fields::text_or(const std::string& name, std::string& value) {
    if (find(name) != nullptr) {
        value = text(name);
    }
}

void Fields::choice_or(const std::string& name, const std::vector<std::string>& allowed,
                       std::string& value) {
    if (find(name) != nullptr) {
        value = choice(name, allowed);
    }
}

void Fields::whole_or(const std::string& name, std::int64_t low, std::int64_t high,
                      std::int64_t& value) {
    if (const Json* member = find(name)) {
        value = as_whole(*member, place(name), low, high);
    }
}

}  // namespace sdrt
