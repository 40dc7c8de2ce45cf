// The program of tests/cpp/test_api.py: runs one case of the public header, by name, on a model.
// Exits with 0, or prints what was wrong.
#include <sdrt.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <thread>

namespace {

std::string model;

void expect(bool is_so, const std::string& what) {
    if (!is_so) {
        throw std::logic_error("expected " + what);
    }
}

// The code of an error that some work throws; SDRT_OK if it throws none.
sdrt_code code_of(const std::function<void()>& work, const std::string& word = "") {
    try {
        work();
        return SDRT_OK;
    } catch (const sdrt::Error& error) {
        const std::string text = error.what();
        expect(text.find(word) != std::string::npos, word + " in: " + text);
        return error.code();
    }
}

sdrt::Options small(int steps = 3) {
    sdrt::Options options;
    options.seed = 5;
    options.num_inference_steps = steps;
    options.width = options.height = 64;
    return options;
}

sdrt::Pipeline opened(const char* backend) {
    sdrt::LoadOptions options;
    options.backend = backend;
    options.threads = 1;
    options.precision = "fp32";
    return sdrt::Pipeline(model, options);
}

std::string pixels(const sdrt::Image& image) {
    const auto size =
        static_cast<std::size_t>(image.width()) * static_cast<std::size_t>(image.height()) * 3;
    return {reinterpret_cast<const char*>(image.pixels()), size};
}

void steps_are_shown(const char* backend) {
    auto pipeline = opened(backend);
    int seen = 0;
    const auto images = pipeline.generate("a red boat", small(), [&](const sdrt_step& step) {
        expect(step.index == seen++ && step.count == 3, "steps in order");
        expect(step.images == 1 && step.channels == 4 && step.height == 8 && step.width == 8,
               "the shape of latents");
        expect(step.sigma >= 0 && step.seconds > 0, "a level and a time");
        expect(step.latents[0] == step.latents[0], "numbers");
        return true;
    });
    expect(seen == 3, "three steps");
    expect(images.size() == 1 && images[0].width() == 64 && images[0].seed() == 5, "one picture");
    expect(images[0].parameters().find("\"prompt\"") != std::string::npos, "parameters");
}

void a_callback_cancels(const char* backend) {
    auto pipeline = opened(backend);
    int seen = 0;
    const auto cancel = [&](const sdrt_step&) { return ++seen < 2; };
    expect(
        code_of([&] { pipeline.generate("x", small(), cancel); }, "step 2 of 3") == SDRT_CANCELLED,
        "a cancelled run");
    expect(seen == 2, "no step after it");
    expect(pipeline.generate("x", small()).size() == 1, "another run");
}

void a_callback_throws(const char* backend) {
    auto pipeline = opened(backend);
    try {
        pipeline.generate("x", small(), [](const sdrt_step&) -> bool { throw 42; });
    } catch (int thrown) {
        expect(thrown == 42, "what was thrown");
        return;
    }
    expect(false, "an exception of the callback's");
}

void a_thread_cancels(const char* backend) {
    auto pipeline = opened(backend);
    std::atomic<bool> is_started = false;
    std::thread other([&] {
        while (!is_started) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        pipeline.cancel();
    });
    const auto code = code_of([&] {
        pipeline.generate("x", small(1000), [&](const sdrt_step&) {
            is_started = true;
            return true;
        });
    });
    other.join();
    expect(code == SDRT_CANCELLED, "a cancelled run");
    pipeline.cancel();  // without effect, as nothing runs
    expect(pipeline.generate("x", small()).size() == 1, "another run");
}

void pipelines_work_side_by_side(const char* backend) {
    const std::string expected = pixels(opened(backend).generate("a cat", small())[0]);
    auto shared = opened(backend);
    std::vector<std::string> pictures(4);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < pictures.size(); ++i) {
        threads.emplace_back([&, i] {  // two with their own pipeline, two with a shared one
            pictures[i] = i < 2 ? pixels(opened(backend).generate("a cat", small())[0])
                                : pixels(shared.generate("a cat", small())[0]);
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    for (const std::string& picture : pictures) {
        expect(picture == expected, "the same picture in every thread");
    }
}

void several_pictures(const char* backend) {
    auto pipeline = opened(backend);
    auto options = small();
    options.num_images_per_prompt = 2;
    const auto images = pipeline.generate("a cat", options);
    expect(images.size() == 2 && images[1].seed() == 6, "two pictures with their seeds");
    options.num_images_per_prompt = 1;
    options.seed = 6;
    const auto alone = pipeline.generate("a cat", options);
    int worst = 0;
    for (std::size_t i = 0; i < 64 * 64 * 3; ++i) {
        worst = std::max(worst, std::abs(images[1].pixels()[i] - alone[0].pixels()[i]));
    }
    expect(worst <= 2, "the same picture alone and in a batch");
}

void wrong_arguments(const char* backend) {
    auto pipeline = opened(backend);
    sdrt_error error;
    sdrt_pipeline* none = nullptr;
    sdrt_result* result = nullptr;
    expect(sdrt_load(nullptr, nullptr, &none, &error) == SDRT_USAGE, "a refused NULL");
    expect(sdrt_load(model.c_str(), nullptr, nullptr, nullptr) == SDRT_USAGE, "a refused NULL");
    expect(sdrt_load("nowhere", nullptr, &none, &error) == SDRT_ARTIFACT && none == nullptr,
           "no model");
    expect(std::strstr(error.message, "nowhere") != nullptr, "the name in the message");
    expect(sdrt_generate(pipeline.get(), nullptr, nullptr, nullptr, &result, &error) == SDRT_USAGE,
           "refused options");
    sdrt_options unprepared = {};
    expect(
        sdrt_generate(pipeline.get(), &unprepared, nullptr, nullptr, &result, &error) == SDRT_USAGE,
        "refused options that were not begun");
    auto options = small();
    expect(sdrt_generate(pipeline.get(), &options, nullptr, nullptr, &result, &error) == SDRT_USAGE,
           "a refused missing prompt");
    options.width = 100;
    expect(code_of([&] { pipeline.generate("x", options); }, "width") == SDRT_USAGE,
           "a wrong width");
    options = small(0);
    expect(code_of([&] { pipeline.generate("x", options); }, "steps") == SDRT_USAGE,
           "a wrong number");
    options = small();
    options.sampler = "nonsense";
    expect(code_of([&] { pipeline.generate("x", options); }, "nonsense") == SDRT_USAGE,
           "a wrong sampler");
    options.sampler = "heun";
    expect(code_of([&] { pipeline.generate("x", options); }, "heun") == SDRT_UNSUPPORTED,
           "a sampler that only Python has");
    const std::string long_name(5000, 'x');
    options.sampler = long_name.c_str();
    expect(code_of([&] { pipeline.generate("x", options); }) == SDRT_USAGE, "a cut message");
    options = small();
    options.guidance_scale = std::numeric_limits<double>::quiet_NaN();
    expect(code_of([&] { pipeline.generate("x", options); }, "guidance") == SDRT_USAGE,
           "a refused number that is none");
    expect(code_of([&] { pipeline.generate("\xff", small()); }) == SDRT_USAGE, "a text in UTF-8");
    sdrt::LoadOptions load;
    load.backend = "tensorrt";
    expect(code_of([&] { sdrt::Pipeline(model, load); }, "tensorrt") == SDRT_USAGE, "an engine");
    const auto images = pipeline.generate("x", small());
    expect(code_of([&] { images[0].save("picture.jpg"); }, ".png") == SDRT_USAGE, "a suffix");
    expect(code_of([&] { images[0].save("no/such/folder/picture.png"); }) != SDRT_OK, "a folder");
    sdrt_pipeline_free(nullptr);
    sdrt_result_free(nullptr);
}

}  // namespace

int main(int argc, char** argv) {
    const std::map<std::string, std::function<void(const char*)>> cases = {
        {"steps_are_shown", steps_are_shown},
        {"a_callback_cancels", a_callback_cancels},
        {"a_callback_throws", a_callback_throws},
        {"a_thread_cancels", a_thread_cancels},
        {"pipelines_work_side_by_side", pipelines_work_side_by_side},
        {"several_pictures", several_pictures},
        {"wrong_arguments", wrong_arguments},
    };
    if (argc != 4 || cases.count(argv[1]) == 0) {
        for (const auto& [name, work] : cases) {
            std::cout << name << "\n";
        }
        return 2;
    }
    model = argv[2];
    try {
        cases.at(argv[1])(argv[3]);
        return 0;
    } catch (const std::exception& error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
}
