#include "networks/open_model.hpp"

namespace sdrt {
namespace {

// Opens an artifact and checks the files of its tokenizers.
Artifact open_checked(const std::filesystem::path& path) {
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

}  // namespace

OpenModel::OpenModel(const std::filesystem::path& path, const LoadOptions& options)
    : artifact_(open_checked(path)),
      networks_(artifact_, open_backend(options.engine), options.keep),
      runner_(networks_, options.retry_precision),
      noise_(manifest().schedule),
      text_encoders_(artifact_, networks_, runner_),
      autoencoder_(manifest().latent, networks_, runner_) {}

void OpenModel::release_after_use() {
    text_encoders_.release_after_use();
    networks_.release_after_use("unet");
    networks_.release_after_use("vae_decoder");
}

}  // namespace sdrt
