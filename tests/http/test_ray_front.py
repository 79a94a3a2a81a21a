"""The server on a cluster: replicas die and are replaced, and no edit, picture or result is lost."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from http_makers import SHORT, asked, opened, picture, png
from pydantic import TypeAdapter

from dragflow.core.errors import UserError
from dragflow.core.models import ModelOptions
from dragflow.files import schema
from dragflow.service.scale import Scale

LONG = ["inversion.steps=30", "inversion.skip=1", "optimise.refining=60"]


def begun(client: httpx.Client, **more: Any) -> str:
    answer = client.post("/v1/edits", json=asked(settings=LONG) | more)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def ended(client: httpx.Client, name: str) -> dict[str, Any]:
    until = time.monotonic() + 180
    while time.monotonic() < until:
        state = client.get(f"/v1/edits/{name}").json()
        if state["state"] not in ("queued", "running"):
            return state
        time.sleep(0.1)
    raise AssertionError(f"it does not end: {state}")


def running(client: httpx.Client, name: str) -> None:
    while client.get(f"/v1/edits/{name}").json()["state"] == "queued":
        time.sleep(0.02)


def replicas(name: str) -> list[psutil.Process]:
    """The processes of a deployment, of the cluster that this process started."""
    found = list[psutil.Process]()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if f"ServeReplica:dragflow:{name}" in " ".join(process.cmdline()):
                found.append(process)
    return found


@pytest.mark.cluster
def test_an_edit_survives_its_replica(cluster: httpx.Client) -> None:
    expected = ended(cluster, begun(cluster, seed=1))
    name = begun(cluster, seed=1)
    running(cluster, name)
    for process in replicas("Editors"):
        process.kill()
    state = ended(cluster, name)
    assert state["state"] == "done", state
    first, again = (cluster.get(one["variants"][0]["result"]).content for one in (expected, state))
    assert first == again


@pytest.mark.cluster
def test_all_processes_are_replaced_and_nothing_is_lost(
    cluster: httpx.Client, ray_address: str, dummy_folder: Path
) -> None:
    from dragflow.http.ray_front import Deployment, deployed

    kept = cluster.post("/v1/pictures", files={"picture": png(picture())}).json()["id"]
    before = ended(cluster, begun(cluster, seed=1))
    old = {process.pid for name in ("Editors", "Fronts") for process in replicas(name)}
    names = [begun(cluster, seed=seed, picture=None, picture_id=kept) for seed in range(4)]
    running(cluster, names[0])
    model = ModelOptions(str(dummy_folder), device="cpu")
    made = Deployment((model, ModelOptions("dummy", device="cpu")), scale=Scale(2, 2), preview_seconds=3600)
    port = int(cluster.base_url.port or 0)

    def replaced() -> None:
        with deployed(made, ray_address, "127.0.0.1", port, stays=True):
            pass

    refused = []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        replacing = pool.submit(replaced)
        while not replacing.done():
            refused += [answer for answer in [cluster.get("/healthz")] if answer.status_code != 200]
            time.sleep(0.05)
        replacing.result()
    assert not refused
    states = [ended(cluster, name) for name in names]
    assert [state["state"] for state in states] == ["done"] * 4
    assert opened(cluster.get(states[0]["variants"][0]["result"]).content).shape == picture().shape
    assert cluster.get(before["variants"][0]["result"]).status_code == 200
    assert cluster.get(f"/v1/pictures/{kept}").status_code == 200
    until = time.monotonic() + 60
    while old & {process.pid for name in ("Editors", "Fronts") for process in replicas(name)}:
        assert time.monotonic() < until
        time.sleep(0.2)


@pytest.mark.cluster
def test_a_waiting_and_a_running_edit_are_cancelled(cluster: httpx.Client) -> None:
    names = [begun(cluster, seed=seed) for seed in range(5)]
    running(cluster, names[0])
    assert cluster.delete(f"/v1/edits/{names[4]}").json()["state"] == "cancelled"
    cluster.delete(f"/v1/edits/{names[0]}")
    assert ended(cluster, names[0])["state"] == "cancelled"
    assert {ended(cluster, name)["state"] for name in names[1:4]} == {"done"}


@pytest.mark.cluster
def test_further_edits_of_a_picture_come_to_the_replica_that_holds_it(cluster: httpx.Client) -> None:
    for seed in range(3):
        name = begun(cluster, seed=seed, settings=SHORT)
        ended(cluster, name)
        text = cluster.get(f"/v1/edits/{name}/events").text
        data = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        inverted = [one for one in data if one.get("phase") == "invert"]
        assert bool(inverted) == (seed == 0)


@pytest.mark.cluster
def test_no_address_is_logged(cluster: httpx.Client, ray_address: str) -> None:
    from ray._private.worker import _global_node as node

    name = begun(cluster, settings=SHORT)
    ended(cluster, name)
    assert node is not None
    logs = Path(node.get_logs_dir_path())
    texts = {path: path.read_text(errors="replace") for path in (logs / "serve").rglob("*.log")}
    assert any("Fronts" in path.name for path in texts)
    assert not [path.name for path, text in texts.items() if name in text]


@pytest.mark.cluster
def test_an_address_that_is_taken_is_said(cluster: httpx.Client, ray_address: str) -> None:
    from dragflow.http.ray_front import Deployment, deployed

    made = Deployment((ModelOptions("dummy"),))
    with pytest.raises(UserError, match="Ray Serve listens at 127"), deployed(made, ray_address, "127.0.0.1", 1):
        pass


def test_a_cluster_that_reaches_other_machines_needs_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    from dragflow.http.ray_front import build

    monkeypatch.delenv("DRAGFLOW_TOKEN", raising=False)
    with pytest.raises(UserError, match="DRAGFLOW_TOKEN"):
        build({"models": [{"model": "nano"}]})


@pytest.mark.parametrize(
    ("scale", "cluster", "found"),
    [
        (Scale(), (4, 64), (1, 4)),
        (Scale(), (0, 8), (0, 8)),
        (Scale(gpus=0.5), (4, 64), (0.5, 8)),
        (Scale(gpus=1, max_replicas=3), (0, 8), (1, 3)),  # whose nodes come when they are needed
    ],
)
def test_there_are_as_many_replicas_as_a_cluster_holds(
    scale: Scale, cluster: tuple[int, int], found: tuple[float, int]
) -> None:
    assert scale.on(*cluster) == found


def test_fewer_replicas_than_are_kept_are_refused() -> None:
    with pytest.raises(UserError, match="`max_replicas` is 1, and `min_replicas` 2"):
        Scale(2, 1).on(0, 8)


@pytest.mark.slow
def test_the_manifest_for_kubernetes_says_what_ray_and_the_server_take() -> None:
    from ray.serve.schema import ServeDeploySchema

    from dragflow.http import ray_front

    manifest = yaml.safe_load((Path(__file__).parents[2] / "deploy" / "kuberay.yaml").read_text())
    (app,) = ServeDeploySchema.model_validate(yaml.safe_load(manifest["spec"]["serveConfigV2"])).applications
    assert app.import_path == f"{ray_front.__name__}:{ray_front.build.__name__}"
    made = schema.parse(TypeAdapter(ray_front.Deployment), app.args, "`args`")
    assert (made.models[0].name, made.scale.gpus) == ("black-forest-labs/FLUX.1-dev", 1)
