"""Colours of the page: Gradio's own where text reaches 4.5:1 and controls 3:1 (WCAG AA), others where it does not."""

from __future__ import annotations

import gradio as gr

_FONT, _MONO = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
"""Fonts of the machine: others would be loaded from elsewhere."""
_EDGE = {"": "*neutral_500", "_dark": "*neutral_400"}
"""Borders of controls, in the light and in the dark."""
_EDGES = (
    "input_border_color",
    "input_border_color_hover",
    "checkbox_border_color",
    "checkbox_border_color_hover",
    "checkbox_label_border_color",
    "button_secondary_border_color",
    "button_secondary_border_color_hover",
)


def theme() -> gr.themes.Base:
    """The theme of the page."""
    edges = {f"{name}{mode}": colour for name in _EDGES for mode, colour in _EDGE.items()}
    return gr.themes.Default(font=_FONT, font_mono=_MONO).set(
        color_accent="*primary_600",
        body_text_color_subdued="*neutral_500",
        block_title_text_color="*neutral_600",
        block_label_text_color="*neutral_600",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_border_color="*primary_700",
        button_primary_border_color_dark="*primary_500",
        button_cancel_background_fill="#b91c1c",
        button_cancel_background_fill_hover="#991b1b",
        **edges,
    )
