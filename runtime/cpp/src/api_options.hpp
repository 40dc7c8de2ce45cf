// Converts the option structs of sdrt.h. Throws UsageError for wrong values.
#pragma once

#define SDRT_C_ONLY
#include "sdrt.h"

#include "networks/open_model.hpp"
#include "request/options.hpp"

namespace sdrt {

// `options` may be nullptr.
LoadOptions load_options_from(const sdrt_load_options* options);

Options options_from(const sdrt_options* options);

// Throws UsageError if an argument is nullptr.
void require(const void* argument, const char* name);

}  // namespace sdrt
