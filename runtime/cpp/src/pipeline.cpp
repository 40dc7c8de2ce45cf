#include "pipeline.hpp"

#include "errors.hpp"
#include "text/prompt.hpp"

#include <malloc.h>

#include <algorithm>
#include <cmath>

namespace sdrt {
namespace {

Artifact checked(const std::filesystem::path& path) {
    Artifact artifact = open_artifact(path);
    for (const TextEncoderSpec& encoder : artifact.manifest().text_encoders) {
        for (const auto& [file, record] : artifact.manifest().files) {
            if (file.rfind(encoder.tokenizer + "/", 0) == 0) {
                artifact.check(file);
            }
        }
    }
    return artifact;
}

bool is_finite(const Network& network, const Feeds& feeds) {
    for (const TensorSpec& spec : network.spec.inputs) {
        const auto feed = feeds.find(spec.name);
        if (spec.dtype != "float32" || feed == feeds.end()) {
            continue;
        }
        const auto* values = static_cast<const float*>(feed->second.values);
        if (!std::all_of(values, values + count(feed->second.shape),
                         [](float value) { return std::isfinite(value); })) {
            return false;
        }
    }
    return true;
}

// The states (1, length, width) of one layer, counted from the last, which is 1.
Tensor layer_of(const Tensor& states, std::int64_t layer) {
    const std::int64_t layers = states.shape.at(1);
    Tensor one(Shape{1, states.shape.at(2), states.shape.at(3)});
    const auto begin = states.values.begin() +
                       static_cast<std::ptrdiff_t>(one.size()) * (layers - layer);
    std::copy_n(begin, one.size(), one.values.begin());
    return one;
}

// The output with the states of one layer, counted from the one that the U-Net was trained with.
std::string states_output(const GraphSpec& graph, const TextEncoderSpec& encoder,
                          std::int64_t layer) {
    const std::int64_t states = graph.hidden_states();
    if (states > 0 && encoder.layer == "penultimate") {
        return kHiddenStates + std::to_string(states - 1 - layer);
    }
    return layer == 1 ? "last_hidden_state" : kLayerStates;
}

double variance_scale(double sigma) { return std::sqrt(1 + sigma * sigma); }

}  // namespace

Shape latent_shape(const Manifest& manifest, const Request& request) {
    const Latent& latent = manifest.latent;
    return {latent.channels, request.height / latent.downscale, request.width / latent.downscale};
}

Pipeline::Pipeline(const std::filesystem::path& path, LoadOptions options)
    : options_(std::move(options)),
      artifact_(checked(path)),
      backend_(open_backend(options_.engine)),
      noise_(manifest().schedule) {
    for (const TextEncoderSpec& encoder : manifest().text_encoders) {
        tokenizers_.emplace_back(artifact_.root() / encoder.tokenizer, encoder.length);
    }
}

Result Pipeline::generate(const Request& request, Cancellation& cancellation, const Callback& callback) {
    try {
        return make(request, cancellation, callback);
    } catch (...) {
        release_encoders();
        for (const char* network : {"unet", "vae_decoder"}) {
            release_after_use(network);
        }
        throw;
    }
}

Result Pipeline::make(const Request& request, Cancellation& cancellation, const Callback& callback) {
    Job job(cancellation);
    job.warnings = request.warnings;
    cancellation.check();
    const Steps steps = request.recipe.steps(noise_, request.num_inference_steps);
    const Denoiser denoise = denoiser(unet(job), steps, request, embed(request, job));

    // The U-Net was trained on noise of variance one; the scale undoes the denoiser's.
    const Shape shape = latent_shape(manifest(), request);
    Noise noise(request.seeds);
    Tensor x = noise.draw(shape) * variance_scale(steps.sigmas.front());
    double began = now_s();
    double loaded = job.timings.loading_s();  // the first step opens the network, which is not its time
    const auto watch = [&](std::size_t index, const Tensor& latents, const Tensor& denoised) {
        const double seconds = now_s() - began - (job.timings.loading_s() - loaded);
        job.timings.step_s.push_back(seconds);
        if (callback) {
            callback({index, steps.size(), steps.sigmas[index + 1], latents, denoised, seconds});
        }
        job.cancellation.check();
        began = now_s();
        loaded = job.timings.loading_s();
    };
    const auto ask = [&](const Tensor& noisy, double sigma) {
        const std::size_t number = job.timings.step_s.size() + 1;
        return job.at("step " + std::to_string(number) + " of " + std::to_string(steps.size()),
                      [&] { return denoise(noisy, sigma); });
    };
    x = request.recipe.sample(ask, std::move(x), steps.sigmas, [&] { return noise.draw(shape); }, watch);
    record("unet", job);
    release_after_use("unet");

    Result result;
    x = std::move(x) / variance_scale(steps.sigmas.back());
    const std::size_t images = request.seeds.size();
    const std::size_t size = x.size() / images;
    for (std::size_t i = 0; i < images; ++i) {
        const auto begin = x.values.begin() + static_cast<std::ptrdiff_t>(i * size);
        const Tensor one(Shape{1, shape[0], shape[1], shape[2]},
                         {begin, begin + static_cast<std::ptrdiff_t>(size)});
        const auto place = "image " + std::to_string(i + 1) + " of " + std::to_string(images);
        result.images.push_back(job.at(place, [&] { return decode(one, job); }));
    }
    release_after_use("vae_decoder");
    for (const std::uint64_t seed : request.seeds) {
        result.parameters.push_back(parameters(request, seed, job));
    }
    result.timings = job.timings;
    result.warnings = job.warnings;
    for (std::string& warning : job.precision_warnings(*backend_, manifest().precision)) {
        result.warnings.push_back(std::move(warning));
    }
    return result;
}

Embeddings Pipeline::embed(const Request& request, Job& job) {
    const auto read = [&](const std::string& what, const std::string& text) {
        const Prompt prompt = parse_prompt(text);
        for (const std::string& warning : prompt.warnings) {
            job.warnings.push_back(what + ": " + warning);
        }
        return tokens_of(prompt);
    };
    const bool is_zero = manifest().zeros_for_empty_prompt && request.negative_prompt.empty();
    const TokensOfAll positive = read("prompt", request.prompt);
    std::optional<TokensOfAll> negative;
    if (request.is_guided && !is_zero) {
        negative = read("negative prompt", request.negative_prompt);
    }
    Embeddings made = job.at("prompt", [&] {
        return encode(positive, negative ? &*negative : nullptr, request.clip_skip, job);
    });
    release_encoders();
    job.cancellation.check();
    if (request.is_guided && is_zero) {
        made.negative = made.positive.zeros();
    }
    const auto finished = [&](Text text) {
        if (request.framing) {
            text.picture = request.framing->row();
        }
        return text.repeated(request.seeds.size());
    };
    made.positive = finished(std::move(made.positive));
    if (made.negative) {
        made.negative = finished(std::move(*made.negative));
    }
    return made;
}

TokensOfAll Pipeline::tokens_of(const Prompt& prompt) const {
    TokensOfAll made;
    for (const Tokenizer& tokenizer : tokenizers_) {
        made.push_back(tokenizer.encode(prompt));
    }
    return made;
}

Embeddings Pipeline::encode(const TokensOfAll& positive, const TokensOfAll* negative,
                            std::int64_t clip_skip, Job& job) {
    Embeddings made;
    made.positive = encode_all(positive, clip_skip, job);
    if (negative == nullptr) {
        return made;
    }
    made.negative = encode_all(*negative, clip_skip, job);
    // The U-Net takes both as one batch: the shorter is filled up with the embeddings of nothing.
    Tensor& own = made.positive.states;
    Tensor& other = made.negative->states;
    Tensor& shorter = own.size() < other.size() ? own : other;
    const std::size_t longest = std::max(own.size(), other.size());
    if (shorter.size() < longest) {
        const Tensor nothing = encode_all(tokens_of(parse_prompt("")), clip_skip, job).states;
        while (shorter.size() < longest) {
            shorter = joined_tokens({shorter, nothing});
        }
    }
    return made;
}

// What all text encoders say of one prompt.
Text Pipeline::encode_all(const TokensOfAll& tokens, std::int64_t clip_skip, Job& job) {
    std::vector<Tensor> states;
    Text made;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        Text one = encode_chunks(manifest().text_encoders.at(i), tokens[i], clip_skip, job);
        states.push_back(std::move(one.states));
        if (made.pooled.size() == 0) {
            made.pooled = std::move(one.pooled);
        }
    }
    made.states = states.size() == 1 ? std::move(states.front()) : joined_widths(states);
    return made;
}

// The embedding of the whole prompt is that of its first chunk, as in AUTOMATIC1111's web UI.
Text Pipeline::encode_chunks(const TextEncoderSpec& encoder, const Tokens& tokens,
                             std::int64_t clip_skip, Job& job) {
    const GraphSpec& spec = *find(manifest().graphs, encoder.graph);
    const std::string output = states_output(spec, encoder, clip_skip);
    std::vector<std::string> asked{output};
    if (manifest().takes_pooled() && spec.output(kPooled) != nullptr) {
        asked.emplace_back(kPooled);
    }
    const std::int64_t length = tokens.ids.shape.at(1);
    std::vector<Tensor> chunks;
    Text made;
    for (std::int64_t i = 0; i < tokens.ids.shape.at(0); ++i) {
        const std::int64_t* ids = tokens.ids.data() + i * length;
        const Ids chunk(Shape{1, length}, {ids, ids + length});
        const Feeds feeds = {{"input_ids", Feed(chunk)}};
        graph(encoder.graph, {{"input_ids", chunk.shape}}, job);
        const double began = now_s();
        Outputs outputs = ask(encoder.graph, feeds, asked, job);
        job.timings.text_encoder_s += now_s() - began;
        Tensor states = std::move(outputs.at(output));
        if (states.shape.size() != (output == kLayerStates ? 4U : 3U)) {
            throw ArtifactError(encoder.graph + " gives " + output +
                                " in another shape than the manifest says; export the model again");
        }
        if (output == kLayerStates) {
            states = layer_of(states, clip_skip);
        }
        chunks.push_back(weighted(std::move(states), tokens.weights.data() + i * length));
        if (i == 0 && asked.size() > 1) {
            made.pooled = std::move(outputs.at(kPooled));
        }
    }
    record(encoder.graph, job);
    made.states = joined_tokens(chunks);
    return made;
}

UNet Pipeline::unet(Job& job) {
    return [this, &job](const Tensor& sample, float timestep, const Text& text,
                        const Tensor* guidance) {
        Feeds feeds = {{"sample", Feed(sample)},
                       {"timestep", Feed(timestep)},
                       {"encoder_hidden_states", Feed(text.states)}};
        if (text.pooled.size() > 0) {
            feeds.emplace(kPooled, Feed(text.pooled));
        }
        if (text.picture.size() > 0) {
            feeds.emplace(kTimeIds, Feed(text.picture));
        }
        if (guidance != nullptr) {
            feeds.emplace("timestep_cond", Feed(*guidance));
        }
        Tensor out = std::move(ask("unet", feeds, {"out_sample"}, job).at("out_sample"));
        if (out.shape != sample.shape) {
            throw ArtifactError("unet gives out_sample in another shape than sample has; export the "
                                "model again");
        }
        return out;
    };
}

Denoiser Pipeline::denoiser(UNet unet, const Steps& steps, const Request& request,
                            Embeddings embeddings) {
    return {std::move(unet),
            steps,
            noise_,
            manifest().prediction,
            std::move(embeddings.positive),
            std::move(embeddings.negative),
            request.guidance,
            Clipping::of(request.recipe.options),
            request.recipe.timestep_scaling(),
            guidance_width(find(manifest().graphs, "unet"))};
}

Image Pipeline::decode(const Tensor& latents, Job& job) {
    const Tensor scaled = latents / manifest().latent.scale;
    graph("vae_decoder", {{"latent_sample", scaled.shape}}, job);
    const double began = now_s();
    const Feeds feeds = {{"latent_sample", Feed(scaled)}};
    const Tensor decoded = std::move(ask("vae_decoder", feeds, {"sample"}, job).at("sample"));
    job.timings.vae_decoder_s += now_s() - began;
    record("vae_decoder", job);
    const std::int64_t height = latents.shape.at(2) * manifest().latent.downscale;
    const std::int64_t width = latents.shape.at(3) * manifest().latent.downscale;
    if (decoded.shape != Shape{1, 3, height, width}) {
        throw ArtifactError("vae_decoder gives a picture of another size than the manifest says; "
                            "export the model again");
    }
    return to_image(decoded.data(), static_cast<int>(height), static_cast<int>(width));
}

Outputs Pipeline::ask(const std::string& network, const Feeds& feeds,
                      const std::vector<std::string>& outputs, Job& job) {
    Shapes shapes;
    for (const auto& [name, feed] : feeds) {
        shapes.emplace(name, feed.shape);
    }
    try {
        return graph(network, shapes, job).run(feeds, outputs, job.cancellation);
    } catch (const NonFiniteError& error) {
        // What failed once will fail again: from then on the network runs in fp32 until the run ends.
        Opened& opened = graphs_.at(network);
        const auto wider = opened.backend->in_fp32(opened.graph->network());
        if (!wider || !is_finite(opened.graph->network(), feeds)) {
            throw;
        }
        if (!options_.retry_precision) {
            throw NonFiniteError(std::string(error.what()) +
                                 ", or --precision fp32, or --retry-precision");
        }
        job.fall_back(network, wider, opened.graph->executed().precision);
    }
    graphs_.erase(network);
    try {
        return graph(network, shapes, job).run(feeds, outputs, job.cancellation);
    } catch (const NonFiniteError& error) {
        throw NonFiniteError(std::string(error.what()) + "; it gave them in " +
                             job.retries.at(network).failed + " before");
    }
}

Graph& Pipeline::graph(const std::string& network, const Shapes& shapes, Job& job) {
    const double began = now_s();
    const auto fallback = job.fallbacks.find(network);
    const auto& backend = fallback == job.fallbacks.end() ? backend_ : fallback->second;
    const auto opened = graphs_.find(network);
    if (opened != graphs_.end() && opened->second.backend != backend) {
        graphs_.erase(opened);
    }
    if (graphs_.count(network) == 0) {
        job.cancellation.check();
        Network files = artifact_.network(network, backend->formats());
        graphs_[network] = {backend, backend->open(std::move(files))};
    }
    Graph& ready = *graphs_.at(network).graph;
    ready.prepare(shapes);
    const double spent = now_s() - began;
    job.timings.add_load(network, spent);
    return ready;
}

void Pipeline::record(const std::string& network, Job& job) const {
    job.record(*graphs_.at(network).graph);
}

void Pipeline::release_encoders() {
    for (const TextEncoderSpec& encoder : manifest().text_encoders) {
        release_after_use(encoder.graph);
    }
}

void Pipeline::release_after_use(const std::string& network) {
    if (options_.keep.count(network) == 0 && graphs_.erase(network) > 0) {
        malloc_trim(0);  // the engine has given it back, but only to the process
    }
}

Parameters Pipeline::parameters(const Request& request, std::uint64_t seed, const Job& job) const {
    const NetworkRecord* unet_record = find(job.networks, "unet");
    Parameters made;
    made.prompt = request.prompt;
    made.negative_prompt = request.negative_prompt;
    made.seed = static_cast<std::int64_t>(seed);
    made.width = request.width;
    made.height = request.height;
    made.num_inference_steps = request.num_inference_steps;
    made.clip_skip = request.clip_skip;
    made.framing = request.framing;
    made.sampler = request.recipe.sampler;
    made.scheduler = request.recipe.scheduler;
    made.spacing = request.recipe.spacing;
    made.steps_offset = request.recipe.offset;
    made.sampler_options = request.recipe.options;
    made.guidance_scale = request.guidance.scale;
    made.guidance_rescale = request.guidance.rescale;
    made.guidance_start = request.guidance.start;
    made.guidance_end = request.guidance.end;
    made.model = manifest().name;
    made.model_hash = artifact_.hash();
    made.stored_precision = unet_record->stored;
    made.executed_precision = unet_record->executed;
    made.networks = job.networks;
    made.backend = backend_->name();
    made.threads = backend_->threads();
    made.version = SDRT_VERSION;
    return made;
}

}  // namespace sdrt
