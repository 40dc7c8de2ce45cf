// Writes PNG (ISO/IEC 15948): 8 bits of red, green and blue, and texts.
#pragma once

#include "images/png.hpp"

#include <string>
#include <string_view>

namespace sdrt {

// A file in memory.
class Png {
public:
    Png(int width, int height);

    // A text as Pillow stores it: in Latin-1 if it can be (tEXt), else in UTF-8 (iTXt).
    void add_text(std::string_view key, std::string_view utf8);
    // In UTF-8 in any case.
    void add_international_text(std::string_view key, std::string_view utf8);
    // (height, width, 3), after the texts; then the whole file.
    std::string finish(const std::uint8_t* pixels);

private:
    void add_chunk(std::string_view type, std::string_view data);

    int width_;
    int height_;
    std::string bytes_;
};

}  // namespace sdrt
