// Options that a run cannot heed: an error where the model never could, else a warning. Python's
// unheeded.py has more of them.
#pragma once

#include "request/request.hpp"

#include <string>
#include <vector>

namespace sdrt {

// Throws UsageError for what says how two of a U-Net's answers become one, where it gives one only.
void check_guides_itself(const std::string& name, const Guidance& guidance);

// What was asked of the model `name`, and something else that was asked for leaves unheeded.
std::vector<std::string> unheeded(const std::string& name, const Options& options,
                                  const Guidance& guidance, bool guides_itself,
                                  const Recipe& recipe);

}  // namespace sdrt
