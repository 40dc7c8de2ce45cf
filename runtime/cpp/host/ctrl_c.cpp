#include "commands.hpp"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

namespace sdrt::host {
namespace {

constexpr int kInterrupted = 130;

sigset_t heard() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);  // from this object to its own thread: the end
    return signals;
}

}  // namespace

struct CancelledByCtrlC::Listener {
    sigset_t before{};
    std::thread thread;
};

CancelledByCtrlC::CancelledByCtrlC(Cancellation& cancellation) : listener_(std::make_unique<Listener>()) {
    const sigset_t signals = heard();
    pthread_sigmask(SIG_BLOCK, &signals, &listener_->before);
    listener_->thread = std::thread([signals, &cancellation] {
        int signal = 0;
        while (sigwait(&signals, &signal) == 0 && signal == SIGINT) {
            if (cancellation.is_requested()) {
                _exit(kInterrupted);  // asked twice: loading and compiling do not hear the first
            }
            cancellation.request();
        }
    });
}

CancelledByCtrlC::~CancelledByCtrlC() {
    pthread_kill(listener_->thread.native_handle(), SIGUSR1);
    listener_->thread.join();
    pthread_sigmask(SIG_SETMASK, &listener_->before, nullptr);
}

}  // namespace sdrt::host
