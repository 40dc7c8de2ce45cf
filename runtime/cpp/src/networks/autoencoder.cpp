#include "networks/autoencoder.hpp"

#include "errors.hpp"

#include <utility>

namespace sdrt {

Image Autoencoder::decode(const Tensor& latents, RunState& state) {
    const Tensor scaled = latents / latent_.scale;
    // Opened here, so that the time of loading is not counted as time of decoding.
    networks_.graph("vae_decoder", {{"latent_sample", scaled.shape}}, state);
    const double began = now_s();
    const Feeds feeds = {{"latent_sample", Feed(scaled)}};
    const Tensor decoded =
        std::move(runner_.run("vae_decoder", feeds, {"sample"}, state).at("sample"));
    state.timings.vae_decoder_s += now_s() - began;
    state.record(networks_.loaded_graph("vae_decoder"));
    const std::int64_t height = latents.shape.at(2) * latent_.downscale;
    const std::int64_t width = latents.shape.at(3) * latent_.downscale;
    if (decoded.shape != Shape{1, 3, height, width}) {
        throw ArtifactError(
            "vae_decoder gives a picture of another size than the manifest says; "
            "export the model again");
    }
    return to_image(decoded.data(), static_cast<int>(height), static_cast<int>(width));
}

}  // namespace sdrt
