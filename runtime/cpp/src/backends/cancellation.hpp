// A wish to stop that comes from another thread and reaches the network that runs just then.
#pragma once

#include <functional>
#include <mutex>
#include <utility>

namespace sdrt {

// Asked once, it stays asked: whoever works for it ends at once, or does not begin.
class Stop {
public:
    // Interrupts what runs now, and lets nothing begin any more. Any thread may call this.
    void ask() {
        const std::lock_guard lock(mutex_);
        is_asked_ = true;
        if (interrupt_) {
            interrupt_();
        }
    }

    bool is_asked() const {
        const std::lock_guard lock(mutex_);
        return is_asked_;
    }

    // Throws CancelledError once asked.
    void check() const;

    // While it lives, `interrupt` is called when asked to stop; at once if that was before. It is
    // never called afterwards: what runs next belongs to somebody else.
    class Interrupts {
    public:
        Interrupts(Stop& stop, std::function<void()> interrupt) : stop_(stop) {
            const std::lock_guard lock(stop_.mutex_);
            stop_.interrupt_ = std::move(interrupt);
            if (stop_.is_asked_) {
                stop_.interrupt_();
            }
        }
        ~Interrupts() {
            const std::lock_guard lock(stop_.mutex_);
            stop_.interrupt_ = nullptr;
        }
        Interrupts(const Interrupts&) = delete;
        Interrupts& operator=(const Interrupts&) = delete;

    private:
        Stop& stop_;
    };

private:
    mutable std::recursive_mutex mutex_;
    std::function<void()> interrupt_;
    bool is_asked_ = false;
};

}  // namespace sdrt
