#include "pipeline.hpp"

#include "generation/run.hpp"

namespace sdrt {

Result Pipeline::generate(const Request& request, Cancellation& cancellation,
                          const Callback& callback) {
    try {
        return Run(*this, request, cancellation).result(callback);
    } catch (...) {
        release_after_use();
        throw;
    }
}

}  // namespace sdrt
