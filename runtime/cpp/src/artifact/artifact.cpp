#include "artifact/artifact.hpp"

#include "artifact/detect.hpp"
#include "artifact/external_data.hpp"
#include "errors.hpp"
#include "files/checksums.hpp"
#include "files/manifest_file.hpp"
#include "files/manifest_writer.hpp"
#include "files/sha256.hpp"
#include "validation.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

namespace sdrt {
namespace {

namespace fs = std::filesystem;

template <class T>
std::vector<std::string> names_of(const Named<T>& values) {
    std::vector<std::string> names;
    for (const auto& [name, value] : values) {
        names.push_back(name);
    }
    return names;
}

// Whether a relative name, as it is written, stays inside its folder on any system.
bool is_inside(const std::string& name) {
    const fs::path path(name);
    const auto is_special = [](char c) { return c == '\\' || c == ':' || c == '\0'; };
    return !name.empty() && !path.is_absolute() &&
           std::find(path.begin(), path.end(), "..") == path.end() &&
           std::none_of(name.begin(), name.end(), is_special);
}

// Whether a path stays inside the folder when links are followed.
bool leads_inside(const fs::path& root, const fs::path& path) {
    std::error_code code;
    const fs::path real = fs::weakly_canonical(path, code);
    return !code &&
           std::mismatch(root.begin(), root.end(), real.begin(), real.end()).first == root.end();
}

// Refuses paths that lead out of the folder, because a manifest may come from anywhere.
void check_paths(const fs::path& root, const Manifest& manifest) {
    std::vector<std::string> names = names_of(manifest.files);
    for (const auto& encoder : manifest.text_encoders) {
        names.push_back(encoder.tokenizer);
    }
    for (const auto& [graph, spec] : manifest.graphs) {
        for (const auto& [format, files] : spec.files) {
            names.insert(names.end(), files.begin(), files.end());
        }
    }
    std::error_code code;
    const fs::path real_root = fs::canonical(root, code);
    for (const auto& name : names) {
        if (code || !is_inside(name)) {
            throw ArtifactError((root / kManifestName).string() +
                                " names a path outside its folder: " + sdrt::quoted(name));
        }
        if (!leads_inside(real_root, root / name)) {
            throw ArtifactError((root / name).string() +
                                " is a link that leads out of the model folder");
        }
    }
}

// Refuses an ONNX graph that would make an engine read a file that
// is not listed and so not checked.
void check_external_data(const fs::path& graph, const std::vector<std::string>& listed,
                         const Manifest& manifest) {
    const fs::path folder = fs::path(listed.front()).parent_path();
    for (const auto& [location, end] : external_data(graph)) {
        const std::string name = (folder / location).lexically_normal().string();
        const bool is_listed =
            is_inside(location) && std::any_of(listed.begin(), listed.end(), [&](const auto& file) {
                return fs::path(file).lexically_normal().string() == name;
            });
        if (!is_listed) {
            throw ArtifactError(graph.string() + " has weights in " + sdrt::quoted(location) +
                                ", which the manifest does not list for it; export the model "
                                "again");
        }
        const FileRecord* record = find(manifest.files, name);
        if (record != nullptr && end > static_cast<std::uint64_t>(record->size)) {
            throw ArtifactError(graph.string() + " has weights up to byte " + std::to_string(end) +
                                " of " + sdrt::quoted(location) + ", which has " +
                                std::to_string(record->size) + "; export the model again");
        }
    }
}

}  // namespace

Artifact::Artifact(fs::path root, Manifest manifest)
    : root_(std::move(root)),
      manifest_(std::move(manifest)) {}

std::string Artifact::hash() const { return sha256(manifest_json(manifest_)); }

Network Artifact::network(const std::string& name, const std::vector<std::string>& formats) const {
    const GraphSpec* spec = find(manifest_.graphs, name);
    if (spec == nullptr) {
        throw ArtifactError(root_.string() + " has no graph " + sdrt::quoted(name) +
                            "; it has: " + joined(names_of(manifest_.graphs)));
    }
    const auto format = std::find_if(formats.begin(), formats.end(), [&](const auto& candidate) {
        return find(spec->files, candidate) != nullptr;
    });
    if (format == formats.end()) {
        throw ArtifactError(root_.string() + " holds " + name + " as " +
                            joined(names_of(spec->files)) + ", expected " +
                            joined(formats, " or ") + "; export the model again with --format " +
                            formats.at(0));
    }
    const auto& listed = *find(spec->files, *format);
    if (listed.empty()) {
        throw ArtifactError((root_ / kManifestName).string() + " lists no file of " + name +
                            "; export the model again");
    }
    Network network{name, *spec, {}, manifest_.stored(name)};
    for (const auto& file : listed) {
        network.files.push_back(check(file));
    }
    if (*format == "onnx") {
        check_external_data(network.files.front(), listed, manifest_);
    }
    return network;
}

fs::path Artifact::check(const std::string& file, bool remember) const {
    const FileRecord* record = find(manifest_.files, file);
    if (record == nullptr) {
        throw ArtifactError((root_ / kManifestName).string() + " does not list " + file +
                            "; export the model again");
    }
    fs::path path = root_ / file;
    check_file(path, *record, remember);
    return path;
}

Artifact open_artifact(const fs::path& path) {
    std::error_code code;
    if (!fs::is_regular_file(path / kManifestName, code)) {
        if (fs::exists(path, code)) {
            throw ArtifactError(path.string() + " is " + describe_path(path) +
                                "; expected a folder made by: sdrt export");
        }
        throw ArtifactError("there is no folder " + path.string() +
                            "; make a model folder with: sdrt export");
    }
    Manifest manifest = read_manifest(path / kManifestName);
    check_paths(path, manifest);
    return {path, std::move(manifest)};
}

}  // namespace sdrt
