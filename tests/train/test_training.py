"""Every stage for a few steps on tiny settings: it runs, resumes exactly, and exports what FluxPipeline loads."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import load_file  # noqa: E402
from tiny_model import FLOW, VAE  # noqa: E402

from dragflow import world  # noqa: E402
from dragflow.backbones.flux1 import layout  # noqa: E402
from dragflow.core.errors import UserError  # noqa: E402
from dragflow.train import data, export, flow, latents, state, text, vae  # noqa: E402
from dragflow.train.main import parser  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def few_measurements():
    """Evaluation on full pictures is not what these tests are about."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vae, "evaluate", lambda *a: {"scenes_db": 0.0})
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    vae.train(VAE, state.Run(out, steps=4))
    flow.train(FLOW, state.Run(out, steps=4))
    return out


def same(a, b):
    first, second = load_file(a), load_file(b)
    assert first.keys() == second.keys()
    return all(torch.equal(first[k], second[k]) for k in first)


def halted(train, config, run, monkeypatch):
    """Trains two of four steps, as if time ran out."""
    calls = iter([0.0, 0.0, math.inf, math.inf])
    with monkeypatch.context() as patch:
        patch.setattr(state.Clock, "here", property(lambda self: next(calls, math.inf)))
        patch.setattr(state.Clock, "total", property(lambda self: 1.0))
        train(config, state.Run(run, steps=4, minutes=1.0))


def test_a_resumed_autoencoder_equals_an_uninterrupted_one(trained, tmp_path, monkeypatch):
    halted(vae.train, VAE, tmp_path, monkeypatch)
    vae.train(VAE, state.Run(tmp_path, steps=4, resume=True))
    assert same(tmp_path / "vae/state.safetensors", trained / "vae/state.safetensors")


def test_a_resumed_flow_model_equals_an_uninterrupted_one(trained, tmp_path, monkeypatch):
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae/state.safetensors").write_bytes((trained / "vae/state.safetensors").read_bytes())
    halted(flow.train, FLOW, tmp_path, monkeypatch)
    flow.train(FLOW, state.Run(tmp_path, steps=4, resume=True))
    assert same(tmp_path / "flow/state.safetensors", trained / "flow/state.safetensors")


def test_the_log_is_one_json_object_per_line(trained):
    lines = [json.loads(line) for line in (trained / "flow/log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert lines[-1]["step"] == 4
    assert losses
    assert all(math.isfinite(loss) for loss in losses)


def test_a_run_stopped_at_a_step_goes_on_from_there(trained, tmp_path):
    vae.train(VAE, state.Run(tmp_path, steps=4, until=1))
    lines = [json.loads(line) for line in (tmp_path / "vae/log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 1
    vae.train(VAE, state.Run(tmp_path, steps=4, resume=True))
    assert same(tmp_path / "vae/state.safetensors", trained / "vae/state.safetensors")


def test_resuming_nothing_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        vae.train(VAE, state.Run(tmp_path, steps=1, resume=True))


def test_a_checkpoint_of_before_is_refused(trained, tmp_path):
    from safetensors.torch import load_file, save_file

    (tmp_path / "vae").mkdir()
    tensors = load_file(trained / "vae/state.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("average.")}
    save_file(kept | {"average.0": torch.zeros(1)}, tmp_path / "vae/state.safetensors", {"step": "2", "seconds": "1"})
    with pytest.raises(UserError, match="older version"):
        vae.train(VAE, state.Run(tmp_path, steps=4, resume=True))
    with pytest.raises(UserError, match="older version"):
        state.load_average(tmp_path / "vae/state.safetensors", vae.build(VAE))


def test_the_average_remembers_less_at_the_start():
    model = torch.nn.Linear(1, 1, bias=False)
    weight = model.weight
    values = [1.0, 3.0, -2.0, 5.0]
    with torch.no_grad():
        weight.fill_(values[0])
    average, expected = state.averaged(model, decay=0.2), values[0]
    for step, value in enumerate(values[1:], 1):
        with torch.no_grad():
            weight.fill_(value)
        average.update_parameters(model)
        decay = min(0.2, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        assert next(average.parameters()).item() == pytest.approx(expected)
    state.swap(average, model)
    assert weight.item() == pytest.approx(expected)
    assert next(average.parameters()).item() == values[-1]


def test_the_warm_start_is_the_linear_projection():
    model = vae.build(VAE)
    projection, bias = vae.principal_components(VAE, 0, 16)
    vae.warm_start(model, projection, bias)
    x = state.to_tensor(data.crops(np.random.default_rng(1), 2, 32, 0.0))
    patches = ((x + 1) / 2).reshape(2, 3, 4, 8, 4, 8).permute(0, 2, 4, 3, 5, 1).reshape(2, 4, 4, 192)
    with torch.no_grad():
        z = model.encoder(x)
    assert torch.allclose(z, (patches @ projection.T + bias).permute(0, 3, 1, 2), atol=1e-4)


def test_packing_is_the_pipelines_own():
    from diffusers import FluxPipeline

    from dragflow.backbones.packing import pack, unpack

    z = torch.randn(2, 16, 8, 6)
    assert torch.equal(pack(z), FluxPipeline._pack_latents(z, 2, 16, 8, 6))
    assert torch.equal(unpack(pack(z), 4, 3), z)
    ids = FluxPipeline._prepare_latent_image_ids(2, 4, 3, "cpu", torch.float32)
    assert torch.equal(layout.image_ids(4, 3, torch.device("cpu")), ids)


def test_the_pool_grows_and_keeps_what_it_has(trained, tmp_path):
    coder = vae.build(VAE)
    scaling = latents.Scaling(2.0, 0.1)
    pool = latents.Pool(tmp_path / "pool", coder, scaling, 64, 6, "cpu")
    pool.grow(3)
    first = pool.take(np.arange(3))
    pool = latents.Pool(tmp_path / "pool", coder, scaling, 64, 6, "cpu")
    pool.grow(99)
    assert pool.count == 6
    assert torch.equal(pool.take(np.arange(3)), first)
    z = (latents.encode(coder, world.scene(1, 64).render()[None], "cpu") - 0.1) * 2
    assert torch.allclose(first[1:2], z, atol=0.02)


def test_captions_of_held_out_sprites_have_no_unknown_words():
    tokenizers = text.Tokenizers(text.clip_tokenizer(), text.t5_tokenizer())
    captions = [world.caption(world.facts(world.scene(i, 64, "test"))) for i in range(60)]
    clip_ids, t5_ids = tokenizers(captions)
    assert not torch.isin(clip_ids, torch.tensor(tokenizers.clip.unk_token_id)).any()
    assert not torch.isin(t5_ids, torch.tensor(tokenizers.t5.unk_token_id)).any()
    assert torch.isin(clip_ids, torch.tensor(tokenizers.clip.eos_token_id)).any(1).all()


def test_the_export_loads_as_a_plain_flux_pipeline(trained, tmp_path):
    from diffusers import FluxPipeline

    folder = export.export(trained, tmp_path / "export", FLOW)
    pipeline = FluxPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.vae_scale_factor == 8
    text_in = "a dog on grass"
    result = pipeline(text_in, height=64, width=64, num_inference_steps=2, max_sequence_length=32, return_dict=False)
    picture = result[0][0]
    assert picture.size == (64, 64)
    tokenizers = text.Tokenizers(text.clip_tokenizer(), text.t5_tokenizer())
    assert torch.equal(
        pipeline.tokenizer_2([text_in], return_tensors="pt").input_ids,
        tokenizers.t5([text_in], return_tensors="pt").input_ids,
    )
    model = flow.FlowModel(FLOW)
    state.load_average(trained / "flow/state.safetensors", model)
    kept = pipeline.transformer.state_dict()
    for name, weight in model.transformer.state_dict().items():
        assert torch.equal(kept[name].float(), weight.to(torch.bfloat16).float()), name


def test_times_fill_the_unit_interval_and_lean_towards_noise():
    t = torch.cat([flow.times(12, 0.15, torch.Generator().manual_seed(i), "cpu") for i in range(200)])
    assert ((t >= 0) & (t <= 1)).all()
    assert t.min() < 0.05
    assert float((t > 0.98).float().mean()) > 0.04
    assert 0.6 < float(t.mean()) < 0.72


def test_the_schedule_warms_up_and_ends_at_zero():
    rates = [state.rate(s, 100, 10, 0.3) for s in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[50] == 1.0
    assert rates[100] == pytest.approx(0.0)


def test_the_command_knows_its_stages():
    args = parser().parse_args(["flow", "--out", "x", "--minutes", "5", "--resume"])
    assert (args.stage, args.minutes, args.resume) == ("flow", 5.0, True)


def test_training_goes_on_from_an_exported_folder(trained, tmp_path):
    folder = export.export(trained, tmp_path / "first", FLOW)
    model = flow.FlowModel(FLOW)
    model.begin_with(folder)
    kept = load_file(folder / "transformer/diffusion_pytorch_model.safetensors")
    for name, weight in model.transformer.state_dict().items():
        assert torch.equal(weight, kept[name].float()), name
    words = load_file(folder / "text_encoder_2/model.safetensors")["shared.weight"].float()
    assert torch.equal(model.text.t5.encoder.embed_tokens.weight, words)

    flow.train(FLOW, state.Run(tmp_path / "second", steps=2), folder)
    again = export.export(tmp_path / "second", tmp_path / "third", FLOW, folder)
    assert same(folder / "vae/diffusion_pytorch_model.safetensors", again / "vae/diffusion_pytorch_model.safetensors")
    assert not same(
        folder / "transformer/diffusion_pytorch_model.safetensors",
        again / "transformer/diffusion_pytorch_model.safetensors",
    )


def test_a_folder_of_another_recipe_is_refused(trained, tmp_path):
    folder = export.export(trained, tmp_path / "export", FLOW)
    other = replace(FLOW, double=2)
    with pytest.raises(UserError, match="does not fit this model"):
        flow.FlowModel(other).begin_with(folder)
    with pytest.raises(UserError, match="does not fit this model"):
        flow.FlowModel(FLOW).begin_with(tmp_path / "nowhere")


@pytest.mark.parametrize(("optimizer", "count"), [("muon", 2), ("adamw", 1)])
def test_every_weight_is_trained_by_one_optimizer(optimizer, count):
    config = replace(FLOW, optimizer=optimizer)
    model = flow.FlowModel(config)
    opts = flow.optimizers(config, model)
    trained_by = [id(p) for opt in opts for group in opt.param_groups for p in group["params"]]
    assert len(opts) == count
    assert sorted(trained_by) == sorted(id(p) for p in model.parameters())


def test_an_autoencoder_that_goes_on_trains_its_decoder_alone(trained, tmp_path):
    folder = export.export(trained, tmp_path / "export", FLOW)
    before = vae.build(VAE)
    vae.begin_with(before, folder)
    after = vae.train(VAE, state.Run(tmp_path / "run", steps=2), folder)
    assert all(torch.equal(a, b) for a, b in zip(before.encoder.parameters(), after.encoder.parameters(), strict=True))
    pairs = zip(before.decoder.parameters(), after.decoder.parameters(), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)
    found = vae.trained(VAE, tmp_path / "run", folder)
    assert torch.equal(next(found.decoder.parameters()), next(after.decoder.parameters()))
