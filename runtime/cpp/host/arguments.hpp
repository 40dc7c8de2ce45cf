// Parses a command line as click does for the Python program: long and short options,
// `--name=value`,
// `-s7`, options and arguments in any order, and `--` before arguments that begin with a dash.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace sdrt::host {

struct Option {
    std::vector<std::string> names;  // all spellings; values are looked up by the first
    std::string metavar;             // "" for an option without a value
    std::string help;
};

class Arguments {
public:
    // `argument` is the name of the positional argument, "" for none. Throws UsageError.
    Arguments(std::string command, std::string argument, std::vector<Option> options,
              const std::vector<std::string>& words);

    // The positional argument. Throws UsageError if it is missing.
    const std::string& required() const;
    const std::optional<std::string>& argument() const { return argument_; }

    bool has(const std::string& option) const { return values_.count(option) > 0; }
    // The last value of an option, if it was given.
    std::optional<std::string> text(const std::string& option) const;
    std::vector<std::string> all(const std::string& option) const;
    std::optional<std::int64_t> whole(const std::string& option) const;
    std::optional<double> number(const std::string& option) const;

    std::string help() const;

private:
    const Option& find(const std::string& spelling) const;
    void take_argument(const std::string& word);

    std::string command_;
    std::string argument_name_;
    std::vector<Option> options_;
    std::optional<std::string> argument_;
    std::map<std::string, std::vector<std::string>> values_;
};

}  // namespace sdrt::host
