"""Workflows as ComfyUI's page saves them, to the graphs that its server runs."""

from __future__ import annotations

from typing import Any

_WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")


def api_graph(workflow: dict[str, Any], object_info: dict[str, Any]) -> dict[str, Any]:
    """The graph of a workflow.

    Args:
        workflow: as saved by the page.
        object_info: what the server says of its nodes at `/object_info`.

    Returns:
        For every node its `class_type` and `inputs`: values of widgets, and links as [node, number of the output].
    """
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    return {
        str(node["id"]): {"class_type": node["type"], "inputs": _inputs(node, links, object_info[node["type"]])}
        for node in workflow["nodes"]
    }


def _inputs(node: dict[str, Any], links: dict[int, list[Any]], info: dict[str, Any]) -> dict[str, Any]:
    """The inputs of a node; its widgets' values are saved in the order in which the node names its inputs."""
    given = {one["name"]: links[one["link"]] for one in node.get("inputs", ()) if one.get("link") is not None}
    values = iter(node.get("widgets_values", ()))
    found: dict[str, Any] = {}
    for kind in ("required", "optional"):
        for name, (typed, *options) in info["input"].get(kind, {}).items():
            said = options[0] if options else {}
            if isinstance(typed, list) or typed in _WIDGETS:
                found[name] = next(values)
                if said.get("control_after_generate") or said.get("image_upload"):
                    next(values, None)  # the page's own widget beside it
    return {**found, **given}
