// sdrt-host: runs a model folder of sdrt without Python. Every failure is a sentence and
// the exit code of Python's program.
#include "commands.hpp"

#include "backends/open_backend.hpp"
#include "errors.hpp"
#include "files/json_file.hpp"
#include "validation.hpp"

#include <algorithm>
#include <iostream>
#include <new>

namespace {

using sdrt::host::Words;

constexpr int kInterrupted = 130;
constexpr int kDefect = 1;
constexpr int kOutOfMemory = 7;

constexpr const char* kHelp =
    "Usage: sdrt-host COMMAND ...\n\n"
    "Commands:\n"
    "  generate PROMPT   make a picture\n"
    "  info MODEL        say what a model folder holds\n"
    "  check GOLDEN      replay golden vectors that `sdrt conformance` wrote; also: --check "
    "GOLDEN\n\n"
    "sdrt-host COMMAND --help lists the options.\n";

int fail(const Words& words, const char* type, const std::string& message, int code) {
    if (std::find(words.begin(), words.end(), "--json") == words.end()) {
        std::cerr << "sdrt-host: " << message << "\n";
        return code;
    }
    sdrt::Json error;
    error["error"]["type"] = type;
    error["error"]["message"] = message;
    error["error"]["exit_code"] = code;
    // A path or a prompt need not be UTF-8.
    std::cerr << error.dump(-1, ' ', false, sdrt::Json::error_handler_t::replace) << "\n";
    return code;
}

void run(Words words) {
    if (words.empty() || words.front() == "--help" || words.front() == "-h") {
        std::cout << kHelp;
        return;
    }
    if (words.front() == "--version") {
        std::cout << "sdrt-host, version " << SDRT_VERSION << ", with "
                  << sdrt::joined(sdrt::built_backends()) << "\n";
        return;
    }
    const std::string command = words.front();
    words.erase(words.begin());
    if (command == "generate") {
        sdrt::host::generate(words);
    } else if (command == "info") {
        sdrt::host::info(words);
    } else if (command == "check" || command == "--check") {
        sdrt::host::check(words);
    } else {
        throw sdrt::UsageError("no such command: " + sdrt::quoted(command) +
                               "; known: generate, info, check");
    }
}

}  // namespace

int main(int argc, char** argv) {
    const Words words(argv + 1, argv + argc);
    try {
        run(words);
        return 0;
    } catch (const sdrt::host::Interrupted&) {
        return fail(words, "interrupted", "interrupted", kInterrupted);
    } catch (const sdrt::Error& error) {
        return fail(words, error.type(), error.what(), error.code());
    } catch (const std::bad_alloc&) {
        return fail(words, "OutOfMemoryError", "the machine has too little free memory",
                    kOutOfMemory);
    } catch (const std::exception& error) {
        return fail(words, "Failure", error.what(), kDefect);
    }
}
