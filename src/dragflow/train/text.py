"""The small text encoders with word-level tokenizers whose vocabulary covers every caption of the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dragflow.world import vocabulary

if TYPE_CHECKING:
    from transformers import CLIPTextConfig, PreTrainedModel, PreTrainedTokenizerFast, T5EncoderModel

CLIP_LENGTH = 32
"""Tokens of the pooled encoder."""
T5_LENGTH = 32
"""Tokens of the sequence encoder that the flow model mostly trains with; the pipeline needs max_sequence_length=32."""


@dataclass(frozen=True)
class TextConfig:
    """Sizes of the encoders."""

    width: int = 128
    """Of T5, and of all CLIPs together."""
    layers: int = 2
    heads: int = 4


# A special token's id is its place. CLIP's end must not be token 2: transformers takes that for an old checkpoint and
# pools elsewhere.
CLIP_SPECIALS = {"pad_token": "<pad>", "bos_token": "<start>", "unk_token": "<unk>", "eos_token": "<end>"}
PAD, START, CLIP_END = 0, 1, 3
T5_SPECIALS = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
T5_END = 1


def _tokenizer(specials: dict[str, str], template: str, length: int) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = [*specials.values(), *vocabulary()]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=specials["unk_token"]))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = [(word, words.index(word)) for word in template.split() if word in specials.values()]
    core.post_processor = processors.TemplateProcessing(single=template, special_tokens=marks)
    return PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=length, padding_side="right", **specials)


def clip_tokenizer() -> PreTrainedTokenizerFast:
    """Tokenizer of the pooled encoder."""
    return _tokenizer(CLIP_SPECIALS, "<start> $A <end>", CLIP_LENGTH)


def t5_tokenizer() -> PreTrainedTokenizerFast:
    """Tokenizer of the sequence encoder."""
    return _tokenizer(T5_SPECIALS, "$A </s>", T5_LENGTH)


def _clip_config(config: TextConfig, width: int) -> CLIPTextConfig:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(CLIP_SPECIALS) + len(vocabulary()),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        max_position_embeddings=CLIP_LENGTH,
        pad_token_id=PAD,
        bos_token_id=START,
        eos_token_id=CLIP_END,
    )


def _t5(config: TextConfig) -> T5EncoderModel:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(
            vocab_size=len(T5_SPECIALS) + len(vocabulary()),
            d_model=config.width,
            d_kv=config.width // config.heads,
            d_ff=2 * config.width,
            num_layers=config.layers,
            num_heads=config.heads,
            dropout_rate=0.0,
            pad_token_id=PAD,
            eos_token_id=T5_END,
            is_encoder_decoder=False,
            use_cache=False,
        )
    )


@torch.no_grad()
def _spread_words(table: Tensor) -> None:
    """Make an untrained pooled output a projection of the bag of words, different for different captions.

    With the usual initialisation it soon became one constant for all captions, and the flow model did not learn to use
    them.
    """
    nn.init.normal_(table, std=0.5)
    table[: len(CLIP_SPECIALS)] = 0


class TextEncoders(nn.Module):
    """FLUX.1's: a CLIP text model (its pooled output) and a T5 encoder (its sequence)."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        from transformers import CLIPTextModel

        self.clip = CLIPTextModel(_clip_config(config, config.width))
        self.t5 = _t5(config)
        _spread_words(self.clip.embeddings.token_embedding.weight)

    @property
    def parts(self) -> dict[str, PreTrainedModel]:
        """The encoders, by the part's name in the pipeline; the T5 encoder is the last."""
        return {"text_encoder": self.clip, "text_encoder_2": self.t5}

    def forward(self, clip_ids: Tensor, t5_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled (b, width) and sequence (b, length, width) embeddings; without masks, as the pipeline calls them."""
        return self.clip(clip_ids).pooler_output, self.t5(t5_ids)[0]


class PairedTextEncoders(nn.Module):
    """Stable Diffusion 3's: two CLIPs of half the width, which are put side by side, and a T5 encoder."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        from transformers import CLIPTextModelWithProjection

        pair = [CLIPTextModelWithProjection(_clip_config(config, config.width // 2)) for _ in range(2)]
        self.clip, self.clip_2 = pair
        self.t5 = _t5(config)
        for clip in pair:
            _spread_words(clip.text_model.embeddings.token_embedding.weight)

    @property
    def parts(self) -> dict[str, PreTrainedModel]:
        """See `TextEncoders.parts`."""
        return {"text_encoder": self.clip, "text_encoder_2": self.clip_2, "text_encoder_3": self.t5}

    def forward(self, clip_ids: Tensor, t5_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled (b, width) and sequence (b, CLIP's length and T5's, width) embeddings, as the pipeline makes them."""
        read = [clip(clip_ids, output_hidden_states=True) for clip in (self.clip, self.clip_2)]
        words = torch.cat([each.hidden_states[-2] for each in read], -1)
        return torch.cat([each.text_embeds for each in read], -1), torch.cat([words, self.t5(t5_ids)[0]], 1)


@dataclass(frozen=True)
class Tokenizers:
    """Both tokenizers, applied as the pipelines apply them."""

    clip: PreTrainedTokenizerFast
    t5: PreTrainedTokenizerFast

    def __call__(self, texts: list[str], length: int = T5_LENGTH) -> tuple[Tensor, Tensor]:
        """Token ids of both kinds of encoders, the sequence encoder's padded to `length`."""
        clip = self.clip(texts, padding="max_length", max_length=CLIP_LENGTH, truncation=True, return_tensors="pt")
        t5 = self.t5(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        return torch.as_tensor(clip.input_ids), torch.as_tensor(t5.input_ids)
