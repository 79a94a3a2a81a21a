"""Heavy once, cheap often: `Editor` holds the weights, `Session` an inverted picture, and `edit` is cheap to repeat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragflow.backbones.devices import Rest
from dragflow.backbones.registry import load_backbone, wrap_pipeline
from dragflow.core.checked import check
from dragflow.core.config import EditConfig
from dragflow.core.errors import UserError
from dragflow.core.events import Observer, silent
from dragflow.core.fields import Prompt
from dragflow.core.models import ModelOptions
from dragflow.core.task import DragTask, Instruction, Operation
from dragflow.editor.inversions import Inversions
from dragflow.editor.result import EditResult
from dragflow.editor.session import Session, as_config
from dragflow.files.instructions import given_instruction
from dragflow.files.models import settled_model
from dragflow.files.pictures import SourceImage, as_source
from dragflow.method.backbone import Backbone
from dragflow.subject.base import SubjectAdapter
from dragflow.subject.registry import check_options, load_subject

if TYPE_CHECKING:
    from dragflow.files.pictures import Picture


class Editor:
    """A loaded model; threads may share it, and take turns at it (see `Session`)."""

    def __init__(self, backbone: Backbone, adapter: SubjectAdapter | None = None) -> None:
        """Wrap a loaded backbone, and a loaded subject adapter for it; see `Editor.load`."""
        self.backbone = backbone
        self.adapter = adapter
        self.inversions: Inversions | None = None
        """Shared by all sessions, if set; else each keeps its own."""
        self._rest = Rest((backbone, adapter))

    @classmethod
    def load(cls, model: str | Path | ModelOptions | None = None, **options: Any) -> Editor:
        """Load a model once for many pictures.

        Args:
            model: hub id or folder of a pipeline in diffusers layout, a built-in one ("nano", "dummy"), a short name of
                the user's, or all options; the user's default when None (`dragflow model use`), else nano.
            **options: the fields of `ModelOptions`, as in `dtype=torch.bfloat16, offload=True, subject="nano"`.

        Raises:
            UserError: the model does not exist or lacks a part, an unknown choice, adapter weights that do not fit.
            CapabilityError: an architecture dragflow does not know, no gradient reaches the latent, or the adapter is
                not made for this model.
        """
        asked = settled_model(ModelOptions.of(model, **options))
        if asked.subject is not None:
            check_options(asked.subject)
        editor = cls._with_subject(load_backbone(asked), asked)
        check_weights(editor, asked)
        return editor

    @classmethod
    def from_pipeline(cls, pipeline: Any, **options: Any) -> Editor:
        """An editor on a loaded pipeline of diffusers, whose device, dtype, quantisation and LoRAs are kept.

        The networks are shared, and no longer require gradients.

        Args:
            pipeline: a pipeline such as `FluxPipeline`.
            **options: `bridge`, `checkpointing`, `offload` and `subject`, as for `ModelOptions`.

        Raises:
            UserError: another option: the rest is the pipeline's own.
            CapabilityError: a pipeline dragflow does not know, or no gradient reaches the latent.
        """
        asked = ModelOptions.of(**options)
        for name in options:
            if name not in ("bridge", "checkpointing", "offload", "subject"):
                raise UserError(f"`{name}` is the pipeline's own: give bridge, checkpointing, offload or subject")
        return cls._with_subject(wrap_pipeline(pipeline, asked), asked)

    @classmethod
    def _with_subject(cls, backbone: Backbone, asked: ModelOptions) -> Editor:
        return cls(backbone, asked.subject and load_subject(asked.subject, backbone, offload=asked.offload))

    def open(
        self, image: Picture, prompt: str = "", *, config: EditConfig | str | None = None, observer: Observer = silent
    ) -> Session:
        """Encode and invert a picture, and record its K/V: once for all edits of it.

        Args:
            image: path, array (H, W, 3 or 4) uint8, PIL picture, or `SourceImage`.
            prompt: what the picture shows.
            config: preset name or configuration, the preset that serves the model best when None; edits with the same
                `inversion`, `size` and `subject` reuse the work.
            observer: gets the events; may raise `Cancelled`.

        Raises:
            UserError: a picture or a configuration that breaks a rule.
        """
        prompt, observer = check(Prompt, prompt, "prompt"), check(Callable, observer, "observer")
        session = Session(self.backbone, as_source(image), prompt, self.adapter, self.inversions)
        session.prepare(as_config(config, self.backbone), observer)
        return session

    def working(self) -> AbstractContextManager[None]:
        """Keep the weights on their device only within; afterwards they rest in main memory, until the next time.

        For programs that share an accelerator with others: open and edit within. A session, with the inversions that it
        keeps on the device, may be kept, too. What `offload` keeps in main memory stays there.
        """
        return self._rest.working(self.backbone.lock)

    def inverted(self, source: SourceImage, task: DragTask, config: EditConfig) -> bool:
        """Whether the inversion that an edit needs is kept already, for all sessions."""
        kept = self.inversions
        return kept is not None and Session(self.backbone, source, task.prompt, self.adapter, kept).inverted(
            task, config
        )


def edit(
    image: Picture,
    instruction: Instruction | Operation | Sequence[Operation] | str | Path,
    *,
    model: str | Path | ModelOptions | None = None,
    config: EditConfig | str | None = None,
    observer: Observer = silent,
    **options: Any,
) -> EditResult:
    """One edit in one call: load, open, edit. For more than one edit, keep the `Editor` and the `Session`.

    Args:
        image: as for `Editor.open`.
        instruction: an instruction, one operation or several, or the path of an instruction file or ReD Bench folder.
        model: as for `Editor.load`.
        config: preset name or configuration; the preset that serves the model best when None.
        observer: gets the events; may raise `Cancelled`.
        **options: as for `Editor.load`.
    """
    asked = given_instruction(instruction)
    editor = Editor.load(model, **options)
    return editor.open(image, asked.prompt, config=config, observer=observer).edit(asked, config, observer)


def check_weights(editor: Editor, options: ModelOptions) -> None:
    """Check the weights of model, subject adapter and its encoders against the fingerprints in the options, if any.

    Raises:
        UserError: the weights are others.
    """
    weights = editor.backbone.weights
    if options.fingerprint not in (None, weights.fingerprint):
        raise UserError(
            f"model {weights.options.name} has other weights than those asked for (fingerprint {weights.fingerprint} "
            f"instead of {options.fingerprint}): name the right `model`"
        )
    adapter = editor.adapter
    if adapter is None or options.subject is None:
        return
    if options.subject.fingerprint not in (None, adapter.record.fingerprint):
        made = adapter.record.options
        raise UserError(
            f"`subject.weights` {made.weights or made.adapter}, or the encoders, are not those asked for: name those"
        )
