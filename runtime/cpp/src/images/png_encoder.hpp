// Encodes PNG (ISO/IEC 15948) with 8 bits each of red, green and blue, and texts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sdrt {

class PngEncoder {
public:
    PngEncoder(int width, int height);

    // Adds a text as Pillow does: in Latin-1 if possible (tEXt), otherwise in UTF-8 (iTXt).
    void add_text(std::string_view key, std::string_view utf8);
    // Adds a text in UTF-8 (iTXt).
    void add_international_text(std::string_view key, std::string_view utf8);
    // Adds the pixels (height, width, 3) after all texts, and returns the whole file.
    std::string finish(const std::uint8_t* pixels);

private:
    void add_chunk(std::string_view type, std::string_view data);

    int width_;
    int height_;
    std::string bytes_;
};

}  // namespace sdrt
