"""The server's folders, below one that a test chooses."""

from pathlib import Path

root = Path()
folder_names_and_paths: dict[str, tuple[list[str], set[str]]] = {}


def use(folder: Path) -> None:
    """Be below another folder, without models."""
    global root
    root = folder
    folder_names_and_paths.clear()
    for name in ("checkpoints", "diffusion_models", "diffusers", "loras", "text_encoders", "vae"):
        folder_names_and_paths[name] = ([str(folder / "models" / name)], {".safetensors"})
    for name in ("input", "output", "temp"):
        (folder / name).mkdir(parents=True)


def get_folder_paths(name: str) -> list[str]:
    return folder_names_and_paths[name][0]


def get_filename_list(name: str) -> list[str]:
    roots, endings = folder_names_and_paths[name]
    found = (path.relative_to(one) for one in roots for path in Path(one).rglob("*") if path.suffix in endings)
    return sorted(path.as_posix() for path in found)


def get_full_path(name: str, file: str) -> str | None:
    paths = [Path(one) / file for one in get_folder_paths(name)]
    return next((str(path) for path in paths if path.is_file()), None)


def get_directory_by_type(kind: str) -> str:
    return str(root / kind)


def get_output_directory() -> str:
    return str(root / "output")


def get_temp_directory() -> str:
    return str(root / "temp")


def get_save_image_path(prefix: str, folder: str, w: int = 0, h: int = 0) -> tuple[str, str, int, str, str]:
    place = Path(folder) / prefix
    place.parent.mkdir(parents=True, exist_ok=True)
    subfolder = str(Path(prefix).parent).replace(".", "")
    return str(place.parent), place.name, len(list(place.parent.glob(f"{place.name}_*"))) + 1, subfolder, prefix
