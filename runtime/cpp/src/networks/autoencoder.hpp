// The decoder of the VAE: latents -> image.
#pragma once

#include "images/png.hpp"
#include "manifest.hpp"
#include "networks/fp32_fallback.hpp"
#include "networks/loaded.hpp"

namespace sdrt {

class Autoencoder {
public:
    // The arguments must outlive this.
    Autoencoder(const Latent& latent, LoadedNetworks& networks, NetworkRunner& runner)
        : latent_(latent),
          networks_(networks),
          runner_(runner) {}

    // Decodes the latents (1, channels, h, w) of one image, in the scale of the U-Net.
    Image decode(const Tensor& latents, RunState& state);

private:
    const Latent& latent_;
    LoadedNetworks& networks_;
    NetworkRunner& runner_;
};

}  // namespace sdrt
