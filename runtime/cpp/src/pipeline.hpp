// Prompt -> image: the face of the runtime.
#pragma once

#include "generation/result.hpp"
#include "networks/open_model.hpp"
#include "request/request.hpp"

namespace sdrt {

class Pipeline : public OpenModel {
public:
    using OpenModel::OpenModel;

    // Makes the images of a request. `callback` is called after each step and may be empty.
    Result generate(const Request& request, Cancellation& cancellation, const Callback& callback);
};

}  // namespace sdrt
