// The program that pytest talks to (tests/cpp): a JSON list of commands on stdin, a list of as many
// results on stdout. A command names its operation as `op`. Errors of sdrt are results too.
#include "commands.hpp"

#include "errors.hpp"
#include "files/json_fields.hpp"

#include <iostream>
#include <iterator>

namespace sdrt::test {

Tensor read_tensor(const Json& json) {
    return {json.at("shape").get<Shape>(), json.at("values").get<std::vector<float>>()};
}

Named<Option> read_options(const Json& json) { return as_named(json, "options", as_option); }

SamplerSettings read_sampler_settings(const Json& command) {
    SamplerSettings settings;
    read(command, "sampler", settings.sampler);
    read(command, "scheduler", settings.scheduler);
    read(command, "spacing", settings.spacing);
    read(command, "offset", settings.offset);
    if (command.contains("options")) {
        settings.options = read_options(command.at("options"));
    }
    return settings;
}

namespace {

Commands all_commands() {
    Commands all;
    for (auto commands : {artifact_commands, cores_commands, files_commands, images_commands,
                          networks_commands, request_commands, sampling_commands, text_commands}) {
        all.merge(commands());
    }
    return all;
}

Json result_of(const Commands& commands, const Json& command) {
    try {
        const std::string& op = command.at("op").get_ref<const std::string&>();
        return {{"result", commands.at(op)(command)}};
    } catch (const Error& error) {
        return {{"error", error.type()}, {"code", error.code()}, {"message", error.what()}};
    }
}

}  // namespace
}  // namespace sdrt::test

int main() {
    using sdrt::Json;
    const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
    const sdrt::test::Commands commands = sdrt::test::all_commands();
    Json results = Json::array();
    for (const Json& command : sdrt::parse_json(text, "the list of commands")) {
        results.push_back(sdrt::test::result_of(commands, command));
    }
    std::cout << results.dump() << '\n';
}
