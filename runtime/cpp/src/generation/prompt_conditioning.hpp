// The conditioning of a request: the embeddings of its prompts for every image.
#pragma once

#include "networks/open_model.hpp"
#include "request/request.hpp"
#include "text/conditioning.hpp"

namespace sdrt {

PromptConditioning encode_prompts(OpenModel& model, const Request& request, RunState& state);

}  // namespace sdrt
