"""A thousand prompts of all kinds, the same in every run."""

import random

PLAIN = """a red boat on the sea at sunset, oil painting, highly detailed
an astronaut's photo; it's 35mm, f/1.8, 1/250s!!! they're we've I'm he'll she'd don't
masterpiece, (best quality:1.2), [blurry], ((sharp)), (a (b:1.5) [c]:0.7) BREAK night
Ünïcödé NFC: e\u0301 o\u0302\u0323 A\u030a \u1e9b\u0323 \ufb01 \u00bd \u2460
\u216b \u01c5 \u0130stanbul STRASSE \u1e9e
漢字かな交じり文、カタカナ！
한국어 프롬프트 \u1112\u1161\u11ab\u1100\u1173\u11af 中文提示詞
ภาษาไทย हिन्दी में العربية עברית
emoji 😀👩‍👩‍👧‍👦 🇩🇪 👍🏽 ❤️ ☕\ufe0f and math 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 x² ≠ ½ ٣٤٥ Ⅷ
<|startoftext|>a<|endoftext|> <|StartOfText|> <|ENDOFTEXT|> <|endoftext
BREAKFAST aBREAK BREAK_ BREAKé éBREAK BREAK,BREAK  BREAK\u3000BREAK\tBREAK\u0301
(a:1.) (b:.5) (c:+1.2) (d:-0.5) (e:1e5) (f:١.٥) (g:99999)
(h: 1.3 ) (i:\u001c1.2\u3000) (j:１．５)
\\(escaped\\) \\[too\\] \\\\ (open [never closed (deep:1.3 )] : ) ] ) (x:bad1) (y: 1.2.3) (z:0)
tabs\tand\nlines\r\nand\x0bmore\x0c\x1c\x1d\x1e\x1f\x85\xa0end \u200b\u200d\ufeff\u2028\u2029
nul \x00 bell \x07 escape \x1b[0m delete \x7f \x80\x9f
private \ue000 \U0010fffd unassigned \u0378 \U0001faff
'''s 's's ''re '' 'LL it''s 1's '\u017f 's\u0301 a's\u212a \u212b\u2126
1234567890 3.14 1,000,000 0x1F 10th 4k 8K uhd R2D2 №5 ½½ a1b2c3 ６７８
marks a\u0345\u0334\u0323\u0301 q\u0307\u0323 \u0301 \u0344 \u0958 \u2adc
more marks \u0f73\u0f75 a\u0898\u0334 a\u1df6\u0334 \U00011938 \U0001d15e
Σίσυφος ΣΑΣ ΑΣ Σ ǅ ᾈ Ⱥ Ꮿ ꭰ 𐐀 𞤀 Ა \U00016ea0 \ua7cb
""".rstrip("\n").split("\n")
WORDS = [
    "boat",
    "Sea",
    "sunset,",
    "it's",
    "4K",
    "漢字",
    "é",
    "e\u0301",
    "😀",
    "the",
    "of",
    "oil-painting",
]
GLUE = [" ", "  ", "", ",", "\n", "\t", "\u3000", "\xa0", "\x1c", "!", "...", "_", "'", "-"]
MARKUP = [
    "(",
    ")",
    "[",
    "]",
    ":1.3)",
    ":0.7)",
    ": -2 )",
    ":x9)",
    "\\(",
    "\\)",
    "\\",
    " BREAK ",
    "BREAK",
    ":",
]
RANGES = [
    (0x00, 0x7F),
    (0x80, 0x24F),
    (0x300, 0x36F),
    (0x370, 0x1FFF),
    (0x2000, 0x2BFF),
    (0x3040, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0x1100, 0x11FF),
    (0xE000, 0xFFFF),
    (0x10000, 0x1FFFF),
    (0x20000, 0x3FFFF),
    (0xE0000, 0x10FFFF),
]


def thousand() -> list[str]:
    """All of the plain ones, and mixtures of words, markup and characters of every range."""
    chance = random.Random(6)
    prompts = [*PLAIN, "", " ", "\n", "boat " * 200, "漢" * 150, "(boat:1.1)BREAK" * 20, "((" * 300]
    while len(prompts) < 1000:
        kinds = chance.choice([(WORDS, GLUE), (WORDS, GLUE, MARKUP), (MARKUP,), None])
        size = chance.choice([1, 3, 8, 20, 60, 150])
        if kinds is None:
            parts = [_character(chance) for _ in range(size)]
        else:
            parts = [chance.choice(chance.choice(kinds)) for _ in range(size)]
            parts.insert(chance.randint(0, size), _character(chance))
        prompts.append("".join(parts))
    return prompts


def _character(chance: random.Random) -> str:
    return chr(chance.randint(*chance.choice(RANGES)))
