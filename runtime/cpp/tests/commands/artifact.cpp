#include "artifact/artifact.hpp"

#include "artifact/detect.hpp"
#include "commands.hpp"
#include "files/manifest_writer.hpp"

namespace sdrt::test {
namespace {

// Opens a folder, and each of its networks in the first of some formats.
Json open(const Json& command) {
    const Artifact artifact = open_artifact(command.at("path").get<std::string>());
    const Manifest& manifest = artifact.manifest();
    const auto formats = command.at("formats").get<std::vector<std::string>>();
    Json networks = Json::object();
    for (const auto& [name, graph] : manifest.graphs) {
        Json files = Json::array();
        const Network network = artifact.network(name, formats);
        for (const auto& file : network.files) {
            files.push_back(file.string());
        }
        networks[name] = {{"files", files}, {"stored", network.stored}};
    }
    return {{"name", manifest.name},
            {"hash", artifact.hash()},
            {"manifest", manifest_json(manifest)},
            {"text_layers", manifest.text_layers()},
            {"conditions", manifest.condition_channels()},
            {"networks", networks}};
}

Json describe(const Json& command) { return describe_path(command.at("path").get<std::string>()); }

}  // namespace

Commands artifact_commands() { return {{"open", open}, {"describe", describe}}; }

}  // namespace sdrt::test
