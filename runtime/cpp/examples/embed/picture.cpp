// A picture from a model folder: picture MODEL [PROMPT]
#include <sdrt.h>

#include <iostream>

int main(int argc, char **argv) {
    if (argc < 2) {
        std::cerr << "usage: picture MODEL [PROMPT]\n";
        return SDRT_USAGE;
    }
    const std::string prompt = argc > 2 ? argv[2] : "a red boat on the sea at sunset";
    try {
        sdrt::Pipeline pipeline(argv[1]);
        sdrt::Options options;
        options.seed = 7;
        const auto images = pipeline.generate(prompt, options, [](const sdrt_step &step) {
            std::cout << "step " << step.index + 1 << " of " << step.count << "\n";
            return true;  // false cancels
        });
        images.front().save("picture.png");
        std::cout << "picture.png\n";
    } catch (const sdrt::Error &error) {
        std::cerr << error.what() << "\n";
        return error.code();
    }
    return 0;
}
