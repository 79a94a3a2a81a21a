"""Subject adapters: ours, and those of installed packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dragflow.backbones.flux1.model import Flux1
from dragflow.core.errors import CapabilityError, UserError
from dragflow.core.models import SubjectOptions
from dragflow.subject.registry import ADAPTERS, load_subject

FAR = """
from pathlib import Path

from dragflow.subject.registry import AdapterSpec

KIND = AdapterSpec(__name__, ("{family}",), (), Path(__file__))


def load(options, weights, backbone, offload):
    return options.adapter, weights, backbone.spec.family, offload
"""
Install = Callable[[str, str, dict[str, str]], Path]


def test_a_package_brings_an_adapter(install: Install, backbone: Flux1) -> None:
    with pytest.raises(UserError, match="far"):
        load_subject(SubjectOptions("far"), backbone)
    folder = install(FAR.format(family="flux1"), "dragflow.subjects", {"far": "KIND", "nano": "KIND"})
    assert ADAPTERS.names == ("instantcharacter", "ip-adapter", "nano", "far")
    weights = folder / f"{folder.name}.py"
    assert load_subject(SubjectOptions("far"), backbone, offload=True) == ("far", weights, "flux1", True)
    with pytest.raises(UserError, match=r"`subject.clip` does not apply to far"):
        load_subject(SubjectOptions("far", clip="other"), backbone)


def test_an_adapter_for_another_family_is_refused(install: Install, backbone: Flux1) -> None:
    install(FAR.format(family="sd3"), "dragflow.subjects", {"far": "KIND"})
    with pytest.raises(CapabilityError, match="made for sd3"):
        load_subject(SubjectOptions("far"), backbone)
