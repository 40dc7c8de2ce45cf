// Connects the U-Net of a model with the denoiser of a run.
#pragma once

#include "networks/denoiser.hpp"
#include "networks/open_model.hpp"
#include "request/request.hpp"
#include "sampling/schedule.hpp"
#include "text/conditioning.hpp"

namespace sdrt {

// The shape of an image's latents: (channels, h/8, w/8).
Shape latent_shape(const Manifest& manifest, const Request& request);

// The model's U-Net as a function. Both arguments must outlive it.
UNet open_unet(OpenModel& model, RunState& state);

// The denoiser of a request, on any U-Net. The model must outlive it.
Denoiser make_denoiser(const OpenModel& model, UNet unet, const Steps& steps,
                       const Request& request, PromptConditioning conditioning);

}  // namespace sdrt
