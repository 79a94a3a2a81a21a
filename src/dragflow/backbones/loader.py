"""The `registry.Loader` of models that are diffusers pipelines."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from dragflow.backbones.footprint import Footprint, empty_networks, footprint_of
from dragflow.backbones.load import load_pipeline, wrap_pipeline
from dragflow.backbones.parts import Source
from dragflow.backbones.pipeline import PipelineBackbone
from dragflow.backbones.pipeline_layout import Layout, read_configs
from dragflow.backbones.vae import stride_of
from dragflow.core.models import ModelOptions
from dragflow.method.backbone import BackboneSpec

_log = logging.getLogger(__name__)
B = TypeVar("B", bound=PipelineBackbone)


@dataclass(frozen=True)
class PipelineLoader(Generic[B]):
    """Loads one family of models."""

    layout: Layout
    family: type[B]
    """Its backbone."""
    spec_of: Callable[[Any, int], BackboneSpec]
    """Gives the facts of a transformer, and of an autoencoder of this stride."""
    stride_of: Callable[[Any], int] = stride_of
    """Gives the stride of the family's autoencoder."""

    def load(self, source: Source) -> B:
        """See `Loader.load`."""
        model = source.options.name
        layout = self.layout.of_folder(model, source.folder)
        if layout.absent:
            _log.info("model %s has no %s: prompts are read without", model, " and ".join(layout.absent))
        return load_pipeline(source, layout, self.family)

    def wrap(self, pipeline: Any, options: ModelOptions) -> B:
        """See `Loader.wrap`."""
        layout = self.layout.of(lambda part: getattr(pipeline, part) is not None)
        return wrap_pipeline(pipeline, options, layout, self.family)

    def footprint(self, model: str, folder: Path | None) -> Footprint:
        """See `Loader.footprint`."""
        layout = self.layout if folder is None else self.layout.of_folder(model, folder)
        configs = layout.published(model) if folder is None else read_configs(layout, model, folder)
        networks = empty_networks(layout, configs, model)
        return footprint_of(model, networks, self.spec_of(networks["transformer"], self.stride_of(networks["vae"])))
