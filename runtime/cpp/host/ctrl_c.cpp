#include "commands.hpp"

#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <thread>

namespace sdrt::host {
namespace {

constexpr int kInterrupted = 130;

sigset_t listened_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);  // from the destructor, to end the thread
    return signals;
}

}  // namespace

struct CtrlCListener::Impl {
    sigset_t previous_mask{};
    std::thread thread;
};

CtrlCListener::CtrlCListener(Cancellation& cancellation) : impl_(std::make_unique<Impl>()) {
    const sigset_t signals = listened_signals();
    pthread_sigmask(SIG_BLOCK, &signals, &impl_->previous_mask);
    impl_->thread = std::thread([signals, &cancellation] {
        int signal = 0;
        while (sigwait(&signals, &signal) == 0 && signal == SIGINT) {
            if (cancellation.is_requested()) {
                _exit(kInterrupted);  // the second Ctrl-C also ends loading and compiling
            }
            cancellation.request();
        }
    });
}

CtrlCListener::~CtrlCListener() {
    pthread_kill(impl_->thread.native_handle(), SIGUSR1);
    impl_->thread.join();
    pthread_sigmask(SIG_SETMASK, &impl_->previous_mask, nullptr);
}

}  // namespace sdrt::host
