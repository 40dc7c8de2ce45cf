#include "diagnostics/info.hpp"

#include "files/json_file.hpp"
#include "files/manifest_writer.hpp"
#include "request/speed.hpp"
#include "validation.hpp"

#include <sstream>

namespace sdrt {
namespace {

// What each preset of speed stands for; empty where the model has none.
Json speed_record(const Manifest& manifest) {
    Json record;
    for (const char* name : {"balanced", "fast"}) {
        Options options;
        options.speed = name;
        const bool is_there = apply_speed(manifest, options).name == name;
        record[name] = Json::object();
        if (is_there) {
            record[name] = {{"sampler", *options.sampler},
                            {"scheduler", *options.scheduler},
                            {"sampler_options", options_json(options.sampler_options)},
                            {"num_inference_steps", *options.num_inference_steps}};
        }
    }
    return record;
}

Json record_of(const Artifact& artifact) {
    Json record;
    record["path"] = artifact.root().string();
    record["hash"] = artifact.hash();
    record.update(parse_json(manifest_json(artifact.manifest()), "the manifest"));
    for (auto& [name, graph] : record["graphs"].items()) {
        graph["precision"] = artifact.manifest().stored(name);
    }
    record["speed"] = speed_record(artifact.manifest());
    return record;
}

}  // namespace

std::string info_json(const Artifact& artifact) { return record_of(artifact).dump(1); }

std::string info_json(const OpenModel& model) {
    Json record = record_of(model.artifact());
    record["backend"] = model.backend().name();
    record["threads"] = model.backend().threads();
    return record.dump(1);
}

std::string info_text(const Artifact& artifact) {
    const Manifest& manifest = artifact.manifest();
    const TrainingSchedule& schedule = manifest.schedule;
    const Defaults& defaults = manifest.defaults;
    std::int64_t bytes = 0;
    for (const auto& [name, file] : manifest.files) {
        bytes += file.size;
    }
    std::ostringstream text;
    text << artifact.root().string() << "\n  model: " << manifest.name << " (" << manifest.family
         << "), from " << manifest.source.id;
    for (const auto& lora : manifest.source.loras) {
        text << "\n  with the LoRA " << lora.file << ", weight " << lora.weight;
    }
    text << "\n  stored precision: " << manifest.precision
         << "\n  size: " << static_cast<double>(bytes) / 1e6 << " MB in " << manifest.files.size()
         << " files\n  hash: " << artifact.hash().substr(0, 12)
         << "\n  prediction: " << manifest.prediction << "; schedule: " << schedule.curve << ", "
         << schedule.beta_start << " to " << schedule.beta_end << ", " << schedule.train_steps
         << " steps, spacing " << schedule.spacing << "\n  defaults: " << defaults.width << "x"
         << defaults.height << ", " << defaults.num_inference_steps << " steps, "
         << defaults.sampler << ", guidance " << defaults.guidance_scale << "\n  graphs:";
    for (const auto& [name, graph] : manifest.graphs) {
        std::vector<std::string> formats;
        for (const auto& [format, files] : graph.files) {
            formats.push_back(format);
        }
        text << "\n    " << name << ": " << joined(formats, " and ") << "; stored in "
             << manifest.stored(name);
    }
    return text.str();
}

}  // namespace sdrt
