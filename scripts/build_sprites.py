"""Builds the sprite atlas of `dragflow.world` from the Noto Color Emoji font (Debian: fonts-noto-color-emoji)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
FONT_SIZE = 109  # the only strike in the font; its bitmaps are 136 x 128
CELL = 136
COLUMNS = 16
ASSETS = Path(__file__).parent.parent / "src" / "dragflow" / "world" / "assets"

SPRITES = {
    "animals": (
        "dog 🐕 cat 🐈 horse 🐎 cow 🐄 pig 🐖 ram 🐏 sheep 🐑 goat 🐐 camel 🐪 elephant 🐘 rhinoceros 🦏 "
        "hippo 🦛 mouse 🐁 rat 🐀 rabbit 🐇 squirrel 🐿 hedgehog 🦔 bat 🦇 kangaroo 🦘 badger 🦡 turkey 🦃 "
        "chicken 🐓 chick 🐥 penguin 🐧 dove 🕊 eagle 🦅 duck 🦆 swan 🦢 owl 🦉 flamingo 🦩 peacock 🦚 "
        "parrot 🦜 frog 🐸 crocodile 🐊 turtle 🐢 lizard 🦎 snake 🐍 dinosaur 🦕 whale 🐳 dolphin 🐬 fish 🐟 "
        "clownfish 🐠 blowfish 🐡 shark 🦈 octopus 🐙 shell 🐚 snail 🐌 butterfly 🦋 caterpillar 🐛 ant 🐜 "
        "bee 🐝 ladybug 🐞 cricket 🦗 spider 🕷 scorpion 🦂 crab 🦀 lobster 🦞 squid 🦑 giraffe 🦒 zebra 🦓 "
        "gorilla 🦍 llama 🦙 leopard 🐆 tiger 🐅 poodle 🐩 sloth 🦥 otter 🦦 bison 🦬 beaver 🦫 seal 🦭 "
        "unicorn 🦄 teddy 🧸"
    ),
    "vehicles": (
        "car 🚗 taxi 🚕 jeep 🚙 bus 🚌 police-car 🚓 ambulance 🚑 fire-engine 🚒 van 🚐 truck 🚚 lorry 🚛 "
        "tractor 🚜 racing-car 🏎 motorcycle 🏍 scooter 🛵 bicycle 🚲 kick-scooter 🛴 train 🚂 tram 🚋 "
        "bullet-train 🚅 airplane ✈ small-plane 🛩 helicopter 🚁 rocket 🚀 sailboat ⛵ canoe 🛶 speedboat 🚤 "
        "ship 🚢 ferry ⛴ pickup 🛻 skateboard 🛹 satellite 🛰 saucer 🛸"
    ),
    "food": (
        "apple 🍎 green-apple 🍏 pear 🍐 orange 🍊 lemon 🍋 banana 🍌 watermelon 🍉 grapes 🍇 strawberry 🍓 "
        "melon 🍈 cherries 🍒 peach 🍑 mango 🥭 pineapple 🍍 coconut 🥥 kiwi 🥝 tomato 🍅 eggplant 🍆 "
        "avocado 🥑 broccoli 🥦 carrot 🥕 corn 🌽 pepper 🌶 cucumber 🥒 potato 🥔 mushroom 🍄 peanut 🥜 "
        "bread 🍞 croissant 🥐 pretzel 🥨 cheese 🧀 pancakes 🥞 hamburger 🍔 pizza 🍕 hotdog 🌭 sandwich 🥪 "
        "taco 🌮 fries 🍟 popcorn 🍿 cake 🍰 birthday-cake 🎂 cupcake 🧁 pie 🥧 doughnut 🍩 cookie 🍪 "
        "ice-cream 🍦 lollipop 🍭 honey 🍯 coffee ☕ teapot 🫖 beer 🍺 milk 🥛 sushi 🍣"
    ),
    "objects": (
        "football ⚽ basketball 🏀 baseball ⚾ tennis-ball 🎾 beach-ball 🏐 rugby-ball 🏉 guitar 🎸 "
        "violin 🎻 drum 🥁 trumpet 🎺 saxophone 🎷 piano 🎹 umbrella ☂ balloon 🎈 gift 🎁 clock ⏰ watch ⌚ "
        "camera 📷 telephone ☎ television 📺 radio 📻 laptop 💻 lamp 💡 candle 🕯 book 📕 key 🔑 hammer 🔨 "
        "axe 🪓 wrench 🔧 scissors ✂ crown 👑 hat 👒 top-hat 🎩 boot 👢 sneaker 👟 backpack 🎒 handbag 👜 "
        "bell 🔔 lantern 🏮 anchor ⚓ chair 🪑 bed 🛏 sofa 🛋 bucket 🪣 trophy 🏆 diamond 💎 globe 🌍 "
        "microscope 🔬 telescope 🔭 bathtub 🛁 barrel 🛢 dice 🎲 kite 🪁 yo-yo 🪀 snowman ⛄ robot 🤖 "
        "ghost 👻 pumpkin 🎃"
    ),
    "buildings and plants": (
        "house 🏠 cottage 🏡 castle 🏰 pagoda 🏯 factory 🏭 church ⛪ tent ⛺ lighthouse 🗼 statue 🗽 "
        "fountain ⛲ hut 🛖 office 🏢 school 🏫 tree 🌳 pine 🌲 palm 🌴 cactus 🌵 sunflower 🌻 tulip 🌷 "
        "rose 🌹 daisy 🌼 bouquet 💐 maple-leaf 🍁 moai 🗿 rock 🪨 log 🪵"
    ),
}
HELD_OUT = (
    "cat goat hippo rabbit eagle parrot turtle clownfish crab zebra tiger jeep fire-engine tractor "
    "bicycle helicopter sailboat lemon pineapple tomato carrot hamburger doughnut teapot basketball "
    "guitar boot trophy house cactus"
)


def parse() -> list[tuple[str, str, str]]:
    """Reads the lists above as (name, glyph, group)."""
    rows = []
    for group, text in SPRITES.items():
        words = text.split()
        rows += [(name.replace("-", " "), glyph, group) for name, glyph in zip(words[::2], words[1::2], strict=True)]
    names = [name for name, _, _ in rows]
    if len(set(names)) != len(names):
        raise SystemExit(f"Sprite names must be unique; repeated: {sorted({n for n in names if names.count(n) > 1})}")
    return rows


def draw(font: ImageFont.FreeTypeFont, glyph: str) -> Image.Image | None:
    """One sprite centred in its cell, or None where the font lacks the glyph."""
    canvas = Image.new("RGBA", (3 * CELL, 3 * CELL), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).text((CELL, CELL), glyph, font=font, embedded_color=True)
    box = canvas.getchannel("A").getbbox()
    if box is None or max(box[2] - box[0], box[3] - box[1]) > CELL or min(box[2] - box[0], box[3] - box[1]) < 20:
        return None
    cell = Image.new("RGBA", (CELL, CELL), (0, 0, 0, 0))
    cell.paste(canvas.crop(box), ((CELL - box[2] + box[0]) // 2, (CELL - box[3] + box[1]) // 2))
    pixels = np.asarray(cell).copy()
    pixels[pixels[..., 3] == 0] = 0  # hidden colours would only make the file larger
    return Image.fromarray(pixels)


def main() -> None:
    """Writes sprites.png and sprites.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--font", default=FONT)
    parser.add_argument("--out", type=Path, default=ASSETS)
    args = parser.parse_args()
    font = ImageFont.truetype(args.font, FONT_SIZE)
    drawn = [(name, group, draw(font, glyph)) for name, glyph, group in parse()]
    missing = [name for name, _, image in drawn if image is None]
    kept = [(name, group, image) for name, group, image in drawn if image is not None]
    held_out = set(HELD_OUT.split())
    rows = -(-len(kept) // COLUMNS)
    atlas = Image.new("RGBA", (COLUMNS * CELL, rows * CELL), (0, 0, 0, 0))
    for i, (_, _, image) in enumerate(kept):
        atlas.paste(image, (i % COLUMNS * CELL, i // COLUMNS * CELL))
    atlas.save(args.out / "sprites.png", optimize=True)
    entries = [
        {"name": name, "group": group, "held_out": name.replace(" ", "-") in held_out} for name, group, _ in kept
    ]
    meta = {"cell": CELL, "columns": COLUMNS, "sprites": entries}
    (args.out / "sprites.json").write_text(json.dumps(meta, indent=1) + "\n")
    print(f"{len(kept)} sprites, {sum(e['held_out'] for e in entries)} held out; missing from the font: {missing}")  # noqa: T201


if __name__ == "__main__":
    main()
