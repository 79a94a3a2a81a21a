"""The thing under points by SAM 2.1 (Ravi et al. 2024), where its weights are on this machine; none are downloaded."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from dragflow.core.arrays import Mask, Pixels, Point
from dragflow.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger(__name__)

REPOSITORIES = tuple(f"facebook/sam2.1-hiera-{size}" for size in ("large", "base-plus", "small", "tiny"))
"""In which order they are looked for in the hub's cache."""
_FILES = ("config.json", "model.safetensors")
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""By which the model's pictures are normalised (those of ImageNet)."""


def cached_weights() -> Path | None:
    """The folder of SAM 2.1 in the hub's cache; None if none is there."""
    from huggingface_hub import try_to_load_from_cache

    for repository in REPOSITORIES:
        files = [try_to_load_from_cache(repository, name) for name in _FILES]
        if all(isinstance(file, str) for file in files):
            return Path(str(files[0])).parent
    return None


class Sam2:
    """The model, loaded when it is first used; for any number of threads."""

    def __init__(self, folder: Path, device: str | None = None) -> None:
        """Take a folder in the layout of transformers.

        Raises:
            UserError: it lacks a file.
        """
        missing = [name for name in _FILES if not (folder / name).is_file()]
        if missing:
            raise UserError(
                f"{folder} has no {missing[0]}: give the folder of a SAM 2.1 checkpoint as {REPOSITORIES[-1]} has it"
            )
        self._folder, self._device = folder, device
        self._model: Any = None
        self._seen: tuple[bytes, list[Tensor]] | None = None
        """Digest of the last picture, and what the encoder made of it, which costs most."""
        self._using = threading.Lock()

    def select(self, image: Pixels, points: Sequence[Point]) -> Mask:
        """The thing (H, W) under all of the points of a picture (H, W, 3), with at least the pixel of each.

        Raises:
            UserError: the weights cannot be loaded.
        """
        import torch

        h, w = image.shape[:2]
        with self._using, torch.inference_mode():
            model = self._loaded()
            side = int(model.config.prompt_encoder_config.image_size)
            # The picture is squeezed into a square, and points with it; pixel centres are at half pixels there.
            at = torch.tensor([[[[(x + 0.5) * side / w, (y + 0.5) * side / h] for x, y in points]]])
            said = model(
                image_embeddings=self._embedded(image, side),
                input_points=at.to(model.device, model.dtype),
                input_labels=torch.ones((1, 1, len(points)), dtype=torch.long, device=model.device),
            )
            best = int(said.iou_scores[0, 0].argmax())
            logits = said.pred_masks[0, 0, best].float().cpu().numpy()
        found = np.asarray(cv2.resize(logits, (w, h), interpolation=cv2.INTER_LINEAR)) > 0
        for x, y in points:
            found[round(y), round(x)] = True
        return found

    def _embedded(self, image: Pixels, side: int) -> list[Tensor]:
        import torch

        digest = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()
        if self._seen is None or self._seen[0] != digest:
            way = cv2.INTER_AREA if min(image.shape[:2]) > side else cv2.INTER_LINEAR
            small = np.asarray(cv2.resize(image, (side, side), interpolation=way), np.float32) / 255
            normal = (small - np.array(_MEAN, np.float32)) / np.array(_SPREAD, np.float32)
            values = torch.from_numpy(normal).permute(2, 0, 1)[None]
            self._seen = digest, self._model.get_image_embeddings(values.to(self._model.device, self._model.dtype))
        return self._seen[1]

    def _loaded(self) -> Any:
        if self._model is None:
            from safetensors import SafetensorError
            from transformers import Sam2Model

            from dragflow.backbones.devices import pick_device
            from dragflow.backbones.quiet import quiet_libraries

            try:
                with quiet_libraries():
                    loaded: Any = Sam2Model.from_pretrained(
                        self._folder, local_files_only=True, use_safetensors=True, output_loading_info=True
                    )
                model, report = loaded
            except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
                raise UserError(f"{self._folder} cannot be loaded as SAM 2.1: {error}") from error
            lacking = sorted(report["missing_keys"])
            if lacking:
                raise UserError(
                    f"{self._folder} lacks {len(lacking)} weights of SAM 2.1, as {lacking[0]}: fetch it again"
                )
            if report["unexpected_keys"]:  # those of videos
                _log.info("left out of %s: %s", self._folder, ", ".join(sorted(report["unexpected_keys"])))
            self._model = model.eval().to(pick_device(self._device))
        return self._model
