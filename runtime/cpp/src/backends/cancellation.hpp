// Cancels a run from another thread, also while a network is running.
#pragma once

#include "errors.hpp"

#include <functional>
#include <mutex>
#include <utility>

namespace sdrt {

// Once requested, a cancellation stays requested: work that shares
// it ends at once or does not start.
class Cancellation {
public:
    // Interrupts the network that is running and keeps others from
    // starting. Any thread may call this.
    void request() {
        const std::lock_guard lock(mutex_);
        is_requested_ = true;
        if (interrupt_) {
            interrupt_();
        }
    }

    bool is_requested() const {
        const std::lock_guard lock(mutex_);
        return is_requested_;
    }

    // Throws CancelledError if cancellation was requested.
    void check() const {
        if (is_requested()) {
            throw CancelledError("the run was cancelled");
        }
    }

    // While a Callback lives, a request calls `interrupt`; an earlier request calls
    // it at once. It is never called after the Callback is gone, because the next
    // network belongs to another Callback.
    class Callback {
    public:
        Callback(Cancellation& cancellation, std::function<void()> interrupt)
            : cancellation_(cancellation) {
            const std::lock_guard lock(cancellation_.mutex_);
            cancellation_.interrupt_ = std::move(interrupt);
            if (cancellation_.is_requested_) {
                cancellation_.interrupt_();
            }
        }
        ~Callback() {
            const std::lock_guard lock(cancellation_.mutex_);
            cancellation_.interrupt_ = nullptr;
        }
        Callback(const Callback&) = delete;
        Callback& operator=(const Callback&) = delete;

    private:
        Cancellation& cancellation_;
    };

private:
    mutable std::recursive_mutex mutex_;
    std::function<void()> interrupt_;
    bool is_requested_ = false;
};

}  // namespace sdrt
