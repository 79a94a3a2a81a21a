"""The provider `local`: a Qwen2.5-VL or Qwen3-VL on this machine, through transformers (App. D.3, Table 5)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from dragflow.core.errors import CapabilityError, IntentError, UserError
from dragflow.intent.base import Answer, IntentRequest
from dragflow.intent.dialogue import OFFER, Reply, Turn, converse, within
from dragflow.intent.options import ProviderOptions

if TYPE_CHECKING:
    import torch

DEFAULT_MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
"""Hub id; the paper's local model is a Qwen-VL."""
_MAX_NEW_TOKENS = 4096
"""Of an answer; ten candidates of sixty words and their JSON need about 1500."""
_PATIENCE = 600.0
"""Seconds to wait for an answer; a model on this machine may take minutes."""
_PROCESSORS = {"qwen2_5_vl": "Qwen2_5_VLProcessor", "qwen3_vl": "Qwen3VLProcessor"}
"""By the model type in config.json."""


class LocalProvider:
    """Asks a model that is loaded at the first request and stays loaded."""

    name = "local"
    remote = False

    def __init__(self, options: ProviderOptions, *, max_new_tokens: int = _MAX_NEW_TOKENS) -> None:
        self._options, self._max_new_tokens = options, max_new_tokens
        self._source = options.model or DEFAULT_MODEL
        self._model: VisionLanguageModel | None = None

    @property
    def model(self) -> str:
        """Hub id, or name and fingerprint of the folder; how it is loaded changes its answers and is part of it."""
        folder, name = Path(self._source), self._source
        if folder.is_dir():
            from dragflow.backbones.fingerprint import fingerprint

            name = f"{folder.resolve().name} {fingerprint(folder)}"
        return f"{name} in 4 bits" if self._options.four_bit else name

    def propose(self, request: IntentRequest) -> Answer:
        """Ask, and ask for one repair where an answer breaks a rule.

        Raises:
            IntentError: the answer was cut or cannot be used.
            UserError: the model cannot be loaded.
            CapabilityError: it does not fit, or 4 bits are not available.
        """
        with _memory_errors():
            if self._model is None:
                self._model = load_model(self._source, self._options)
            model, options = self._model, self._options

            def send(turns: tuple[Turn, ...]) -> Reply:
                return model.answer(turns, max_new_tokens=self._max_new_tokens, seconds=options.timeout or _PATIENCE)

            return converse(within(request, options.max_image_side), send, provider=self.name, model=self.model)


def load(options: ProviderOptions) -> LocalProvider:
    """The provider; the model is loaded at the first request."""
    return LocalProvider(options)


class VisionLanguageModel:
    """A loaded model and its processor."""

    def __init__(self, network: Any, processor: Any, device: torch.device) -> None:
        self._network, self._processor, self._device = network, processor, device

    def answer(self, turns: tuple[Turn, ...], *, max_new_tokens: int, seconds: float) -> Reply:
        """The next message, each token the likeliest.

        Raises:
            IntentError: it did not end within so many tokens and seconds, or the pictures cannot be shown.
        """
        try:
            inputs = self._processor.apply_chat_template(
                [_message(turn) for turn in turns],
                tokenize=True,
                add_generation_prompt=True,
                return_dict=True,
                return_tensors="pt",
            )
        except ValueError as error:  # a picture of which one side is 200 times the other
            raise IntentError(f"the model cannot be shown this ({error}): otherwise {OFFER}") from error
        prompt_tokens = int(inputs["input_ids"].shape[1])
        greedy = {
            "do_sample": False,
            "temperature": None,
            "top_p": None,
            "top_k": None,
        }  # a repository may say otherwise
        output = self._network.generate(
            **inputs.to(self._device), **greedy, max_new_tokens=max_new_tokens, max_time=seconds
        )
        tokens = output[0, prompt_tokens:].tolist()
        if tokens[-1] not in _ends(self._network):
            limit = (
                f"{max_new_tokens} tokens" if len(tokens) >= max_new_tokens else f"{seconds:g} s (`provider.timeout`)"
            )
            raise IntentError(
                f"the model's answer was cut after {limit}: choose a larger `provider.model`, which stays brief, "
                f"or {OFFER}"
            )
        text = self._processor.tokenizer.decode(tokens, skip_special_tokens=True)
        return Reply(text, prompt_tokens=prompt_tokens, completion_tokens=len(tokens))


def load_model(model: str, options: ProviderOptions) -> VisionLanguageModel:
    """Load a model from a hub id or a folder, in the layout of the hub.

    Raises:
        UserError: it cannot be loaded, is of another kind, or lacks weights; an unknown device or dtype.
        CapabilityError: 4 bits are asked for and bitsandbytes is missing.
    """
    from dragflow.backbones.devices import pick_device, pick_dtype
    from dragflow.backbones.hub import WHOLE, find
    from dragflow.backbones.parts import load_part, part_of

    device = pick_device(options.device)
    dtype = pick_dtype(options.dtype, device)
    settings = _four_bits(device, dtype) if options.four_bit else {}
    from transformers import AutoConfig, AutoModelForImageTextToText

    folder = str(find(model, what="`provider.model`", parts=WHOLE))
    with part_of(model, "config.json"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    kind = config.model_type
    if kind not in _PROCESSORS:
        raise UserError(f"model {model} is a {kind}: a Qwen2.5-VL or a Qwen3-VL is needed")
    with part_of(model, "processor or tokenizer"):
        processor = _picture_processor(kind).from_pretrained(folder, trust_remote_code=False)
        if processor.chat_template is None:
            raise ValueError("it has no chat template")
        if processor.image_token_id != config.image_token_id:  # without its files a tokenizer comes empty, and silent
            raise ValueError("the tokenizer has no token for pictures")
    network = load_part(
        AutoModelForImageTextToText, folder, "network", device, dtype=dtype, trust_remote_code=False, **settings
    )
    return VisionLanguageModel(network, processor, device)


def _picture_processor(kind: str) -> Any:
    """The processor of a kind of model, without the part for videos, which needs torchvision.

    Which parts a processor loads is read from the names of its constructor's arguments.
    """
    import transformers

    class PictureProcessor(getattr(transformers, _PROCESSORS[kind])):
        def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str | None = None, **_: Any) -> None:
            super().__init__(image_processor, tokenizer, None, chat_template=chat_template)

    return PictureProcessor


def _four_bits(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    try:
        import bitsandbytes  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise CapabilityError(
            f"loading in 4 bits needs bitsandbytes ({error}): pip install bitsandbytes, or omit `provider.four_bit`"
        ) from error
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return {"quantization_config": config, "device_map": {"": device}}


def _message(turn: Turn) -> dict[str, Any]:
    """A message for the chat template; in its text nothing can pass for one of the template's own tokens."""
    pictures = [{"type": "image", "image": Image.open(io.BytesIO(png)).convert("RGB")} for png in turn.pictures]
    return {"role": turn.role, "content": [*pictures, {"type": "text", "text": turn.text.replace("<|", "< |")}]}


def _ends(network: Any) -> tuple[int, ...]:
    """Tokens that end an answer."""
    ends = network.generation_config.eos_token_id
    return tuple(ends) if isinstance(ends, list | tuple) else (ends,)


@contextmanager
def _memory_errors() -> Iterator[None]:
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise CapabilityError(
            "the model does not fit in the memory of this device: set `provider.four_bit`, a smaller `provider.model` "
            "or `provider.max_image_side`, or `provider.device` cpu"
        ) from error
