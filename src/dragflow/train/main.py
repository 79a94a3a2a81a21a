"""`python -m dragflow.train`: its arguments, and the stage they select."""

from __future__ import annotations

import argparse
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """The arguments of every stage."""
    top = argparse.ArgumentParser(
        prog="python -m dragflow.train", description="Train the embedded model, stage by stage."
    )
    stages = top.add_subparsers(dest="stage", required=True)
    for name, steps, rate, text in (
        ("vae", 3200, 1.5e-3, "the autoencoder, on crops of scenes and photographs"),
        ("flow", 4000, 1e-3, "the transformer and both text encoders, on latents of scenes"),
        ("adapter", 1400, 3e-4, "the subject adapter of an exported model, which stays unchanged"),
        ("bridge", 12_000, 6e-4, "the bridge of an exported model, on pairs of preview and truth"),
    ):
        stage = stages.add_parser(name, help=text)
        stage.add_argument("--out", type=Path, required=True, help="folder of checkpoints, logs and sample sheets")
        stage.add_argument("--steps", type=int, default=steps, help="length of the whole schedule")
        stage.add_argument("--rate", type=float, default=rate, help="learning rate of AdamW")
        stage.add_argument("--minutes", type=float, default=float("inf"), help="stop this call after so many minutes")
        stage.add_argument("--until", type=int, help="stop this call at this step of the schedule")
        stage.add_argument("--seed", type=int, default=0)
        stage.add_argument("--device", default="cpu")
        stage.add_argument("--threads", type=int, default=1, help="CPU threads")
        stage.add_argument(
            "--start",
            type=Path,
            required=name in ("adapter", "bridge"),
            help="the model" if name in ("adapter", "bridge") else "exported folder to begin with (not its encoder)",
        )
        if name == "bridge":
            stage.add_argument("--begun", type=Path, help="exported bridge to begin with")
            stage.add_argument("--pairs", type=Path, required=True, help="folder of pairs, which may still grow")
            stage.add_argument("--held-out", type=Path, required=True, help="folder of pairs of the split `test`")
        if name == "flow":
            _add_layout(stage)
            stage.add_argument("--optimizer", choices=("muon", "adamw"), default="muon", help="for the blocks")
            stage.add_argument("--noisy", type=float, default=0.15, help="share of times at which captions are learnt")
            stage.add_argument("--text-share", type=float, default=0.1, help="text encoders' share of the rate")
            stage.add_argument("--cooldown", type=float, default=0.2, help="share of the steps in which the rate falls")
        stage.add_argument("--resume", action="store_true", help="resume from the checkpoint in --out")
        stage.add_argument("--save-every", type=float, default=240.0, help="seconds between checkpoints")
    _add_exports(stages)
    pairs = stages.add_parser("pairs", help="pairs of preview and truth for the bridge; what is there is kept")
    pairs.add_argument("--to", type=Path, required=True, help="folder to add to")
    pairs.add_argument("--count", type=int, default=20_000)
    pairs.add_argument("--split", choices=("train", "test"), default="train", help="of the things that are shown")
    pairs.add_argument("--processes", type=int, default=1)
    return top


def _add_exports(stages: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, start, what, to in (
        ("export", "the flow stage, whose autoencoder is taken if --out has no vae/", "parts", "one diffusers folder"),
        ("export-adapter", None, "adapter", "a folder, for `--subject.adapter nano`"),
        ("export-bridge", "the bridge stage", "bridge", "one file"),
    ):
        export = stages.add_parser(name, help=f"the trained {what} as {to}")
        export.add_argument("--out", type=Path, required=True, help="folder that holds the checkpoints")
        export.add_argument("--to", type=Path, required=True, help="what to write")
        if name == "export":
            _add_layout(export)
        if start is not None:
            export.add_argument("--start", type=Path, required=name == "export-bridge", help=f"--start of {start}")


def _add_layout(stage: argparse.ArgumentParser) -> None:
    stage.add_argument("--layout", choices=("flux", "sd3"), default="flux", help="whose transformer and text encoders")


def main(argv: list[str] | None = None) -> None:
    """Run one stage."""
    args = parser().parse_args(argv)
    if args.stage == "pairs":
        make_pairs(args.to, args.count, args.processes, args.split)
    elif args.stage == "export":
        from dragflow.train.export import export
        from dragflow.train.flow import FlowConfig

        export(args.out, args.to, FlowConfig(layout=args.layout), args.start)
    elif args.stage == "export-adapter":
        from dragflow.train import adapter

        adapter.export(args.out, args.to)
    elif args.stage == "export-bridge":
        from dragflow.train import bridge

        bridge.export(args.out, args.start, args.to)
    else:
        train(args)


def train(args: argparse.Namespace) -> None:
    """Train one stage."""
    import torch

    from dragflow.train.state import Run

    torch.set_num_threads(args.threads)
    run = Run(args.out, args.steps, args.minutes, args.seed, args.device, args.resume, args.save_every, args.until)
    if args.stage == "vae":
        from dragflow.train import vae

        vae.train(vae.VaeConfig(rate=args.rate), run, args.start)
    elif args.stage == "adapter":
        from dragflow.train import adapter

        adapter.train(adapter.AdapterConfig(rate=args.rate), run, args.start)
    elif args.stage == "bridge":
        from dragflow.train import bridge

        config = bridge.BridgeConfig(rate=args.rate)
        bridge.train(config, run, args.start, args.pairs, args.held_out, args.begun)
    else:
        from dragflow.train import flow

        config = flow.FlowConfig(
            layout=args.layout,
            optimizer=args.optimizer,
            rate=args.rate,
            cooldown=args.cooldown,
            noisy=args.noisy,
            text_share=args.text_share,
        )
        flow.train(config, run, args.start)


def make_pairs(folder: Path, count: int, processes: int, split: str) -> None:
    """Add what is missing of so many pairs to a folder, and show how far it is."""
    from rich.console import Console
    from rich.progress import track

    from dragflow.train import pairs

    pairs.one_thread()
    shards = pairs.lacking(folder, count, split=split)
    for _ in track(pairs.make(shards, processes), "shards", len(shards), console=Console(stderr=True)):
        pass
