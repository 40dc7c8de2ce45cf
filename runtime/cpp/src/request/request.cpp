#include "request/request.hpp"

namespace sdrt {

Shape latent_shape(const Manifest& manifest, const Request& request) {
    const Latent& latent = manifest.latent;
    return {latent.channels, request.height / latent.downscale, request.width / latent.downscale};
}

}  // namespace sdrt
