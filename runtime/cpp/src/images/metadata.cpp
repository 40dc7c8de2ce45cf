#include "images/metadata.hpp"

#include "files/json_file.hpp"
#include "files/manifest_writer.hpp"
#include "sampling/samplers/aliases.hpp"
#include "validation.hpp"

#include <cctype>
#include <utility>
#include <vector>

namespace sdrt {
namespace {

// AUTOMATIC1111 reads a value up to the next comma unless it is quoted as JSON.
std::string quoted_value(const std::string& text) {
    return text.find_first_of(",:\n\"") == std::string::npos ? text : Json(text).dump();
}

// Capitalizes the first letter of each word, as Python's str.title does.
std::string title(std::string text) {
    bool is_in_word = false;
    for (char& c : text) {
        const auto letter = static_cast<unsigned char>(c);
        c = static_cast<char>(is_in_word ? std::tolower(letter) : std::toupper(letter));
        is_in_word = std::isalpha(letter) != 0;
    }
    return text;
}

Json network_json(const NetworkRecord& record) {
    Json shares = Json::object();
    for (const auto& [precision, share] : record.shares) {
        shares[precision] = share;
    }
    Json retried;
    if (record.retried) {
        retried = {{"failed", record.retried->failed}, {"at", record.retried->at}};
    }
    return {{"stored", record.stored}, {"executed", record.executed}, {"shares", shares},
            {"isa", record.isa},       {"isa_from", record.isa_from}, {"retried", retried}};
}

Json networks_json(const Named<NetworkRecord>& networks) {
    Json json = Json::object();
    for (const auto& [name, record] : networks) {
        json[name] = network_json(record);
    }
    return json;
}

Json size_json(const std::optional<SizeConditioning>& size) {
    if (!size) {
        return Json::object();
    }
    return {{"original_size", size->original_size},
            {"crops_coords_top_left", size->crops_coords_top_left},
            {"target_size", size->target_size}};
}

// How often the U-Net was asked; this host always computes all of it.
Json evaluations_json(const Parameters& parameters) {
    return {{"whole", parameters.evaluations},
            {"shallow", 0},
            {"unguided", parameters.unguided_evaluations}};
}

}  // namespace

std::string Parameters::to_a1111() const {
    std::vector<std::pair<std::string, std::string>> fields{
        {"Steps", std::to_string(num_inference_steps)},
        {"Sampler", a1111_name(sampler)},
    };
    if (scheduler != "default") {
        fields.emplace_back("Schedule type", title(scheduler));
    }
    fields.emplace_back("CFG scale", short_number(guidance_scale));
    fields.emplace_back("Seed", std::to_string(seed));
    fields.emplace_back("Size", std::to_string(width) + "x" + std::to_string(height));
    fields.emplace_back("Model hash", model_hash.substr(0, 10));
    fields.emplace_back("Model", model);
    if (clip_skip != 1) {
        fields.emplace_back("Clip skip", std::to_string(clip_skip));
    }
    fields.emplace_back("RNG", "CPU");  // readers take a missing RNG for GPU
    fields.emplace_back("Version", "sdrt " + version);

    std::string text = prompt + "\n";
    if (!negative_prompt.empty()) {
        text += "Negative prompt: " + negative_prompt + "\n";
    }
    for (std::size_t i = 0; i < fields.size(); ++i) {
        text += (i > 0 ? ", " : "") + fields[i].first + ": " + quoted_value(fields[i].second);
    }
    return text;
}

std::string Parameters::to_json() const {
    const Json json = {{"schema", kMetadataSchema},
                       {"prompt", prompt},
                       {"negative_prompt", negative_prompt},
                       {"seed", seed},
                       {"width", width},
                       {"height", height},
                       {"num_inference_steps", num_inference_steps},
                       {"clip_skip", clip_skip},
                       {"style", nullptr},
                       {"prompt_embeddings", Json::object()},
                       {"init_image", Json::object()},
                       {"strength", nullptr},
                       {"paste", nullptr},
                       {"vae_tiling", false},
                       {"hires", nullptr},
                       {"denoising_range", nullptr},
                       {"size_conditioning", size_json(size_conditioning)},
                       {"sampler", sampler},
                       {"scheduler", scheduler},
                       {"spacing", spacing},
                       {"steps_offset", steps_offset},
                       {"sampler_options", options_json(sampler_options)},
                       {"guidance_scale", guidance_scale},
                       {"image_guidance_scale", nullptr},
                       {"guidance_rescale", guidance_rescale},
                       {"guidance_start", guidance_start},
                       {"guidance_end", guidance_end},
                       {"speed", speed},
                       {"cache_interval", 1},
                       {"cache_depth", 0},
                       {"evaluations", evaluations_json(*this)},
                       {"model", model},
                       {"model_hash", model_hash},
                       {"loras", Json::array()},
                       {"textual_inversions", Json::array()},
                       {"stored_precision", stored_precision},
                       {"executed_precision", executed_precision},
                       {"networks", networks_json(networks)},
                       {"backend", backend},
                       {"threads", threads},
                       {"version", version}};
    return json.dump();
}

}  // namespace sdrt
